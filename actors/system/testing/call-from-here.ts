/** Calls a counter from whatever runtime this runs on: `call-from-here.ts URL NAME` prints one line of JSON. */
import process from "node:process";
import { connectNats } from "../../../proto/bus/nats.ts";
import { ActorSystem } from "../system.ts";
import { Counter } from "./counter.ts";

const bus = await connectNats({ servers: process.argv[2]! });
const system = new ActorSystem(bus);
const counter = await system.get(Counter, process.argv[3]!);
const added = await counter.add(2);
const { floats } = await counter.echo({ floats: Float32Array.of(1, 2.5), words: [] });
const error = await counter.throwTypeError().catch(({ name, message }: Error) => `${name}: ${message}`);
const stop = new AbortController();
const blocked = counter.options({ signal: stop.signal }).block();
setTimeout(() => stop.abort(new Error("no longer wanted")), 50);
const cancelled = await blocked.catch(({ message }: Error) => message);
const afterwards = await counter.count();
console.log(JSON.stringify({ added, floats: [...floats], error, cancelled, afterwards }));
await system.close();
await bus.close();
