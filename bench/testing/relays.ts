/** Several relays in one process, for bench/relay.ts: `relays.ts COUNT UPSTREAM[,UPSTREAM…]` prints the address of each once it holds weights. */
import process from "node:process";
import { type Relay, relay } from "../../deploy/relay.ts";

const [count, upstreams] = process.argv.slice(2);
const addresses = upstreams!.split(",");
const relays: Relay[] = [];
for (let i = 0; i < Number(count); i++) {
  let told = false;
  const one: Relay = await relay({
    run: "bench",
    name: `relay-${process.pid}-${i}`,
    upstream: addresses[i % addresses.length]!,
    onWeights() {
      if (!told) console.log(one.address);
      told = true;
    },
  });
  relays.push(one);
}
process.stdin.on("end", async () => {
  await Promise.all(relays.map((each) => each.close(0)));
  process.exit();
});
process.stdin.resume();
