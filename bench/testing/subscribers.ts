/**
 * Several subscribers in one process, for bench/weights.ts and bench/relay.ts: `subscribers.ts weights|tcp ADDRESS[,ADDRESS…] COUNT BYTES` prints a line
 * whenever one of them has taken a version (weights) or BYTES bytes (tcp).
 */
import { connect } from "node:net";
import process from "node:process";
import { weightsClient } from "../../actors/weights-client.ts";

const [mode, addresses, count, bytes] = process.argv.slice(2);
const servers = addresses.split(",");
const closers: (() => void)[] = [];

for (let i = 0; i < Number(count); i++) {
  const address = servers[i % servers.length];
  if (mode === "weights") {
    const client = weightsClient({ address, run: "bench", actor: `${process.pid}-${i}` });
    client.onWeights(() => process.stdout.write("applied\n"));
    closers.push(() => client.close());
  } else {
    const [host, port] = address.split(":");
    let received = 0;
    const socket = connect(Number(port), host);
    socket.on("data", (data) => {
      received += data.length;
      for (; received >= Number(bytes); received -= Number(bytes)) process.stdout.write("taken\n");
    });
    closers.push(() => socket.destroy());
  }
}
process.stdin.on("end", () => {
  for (const close of closers) close();
});
process.stdin.resume();
