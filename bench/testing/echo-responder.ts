/** Answers raw NATS requests with what they bring: `echo-responder.ts URL SUBJECT` prints a line when it is ready. */
import process from "node:process";
import { connect } from "@nats-io/transport-node";

const [servers, subject] = process.argv.slice(2);
const connection = await connect({ servers, noAsyncTraces: true });
connection.subscribe(subject!, { callback: (_, message) => void message.respond(message.data) });
await connection.flush();
console.log("ready");
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
