/** Spawns a counter on the broker and node class given, and dies as soon as it has asked for a node. `bun … URL LABEL NAME` */
import process from "node:process";
import type { Bus, KeyValue } from "../../../proto/bus/bus.ts";
import { connectNats } from "../../../proto/bus/nats.ts";
import { ActorSystem } from "../index.ts";
import { Counter } from "./counter.ts";

const [url, label, name] = process.argv.slice(2);

/** The same, but for one method. */
function withMethod<T extends object, K extends keyof T>(target: T, method: K, instead: T[K]): T {
  return new Proxy(target, {
    get(_, key) {
      const value = key === method ? instead : target[key as keyof T];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const bus: Bus = await connectNats({ servers: url! });
const deadly = withMethod(bus, "keyValue", async (...of) => {
  const bucket: KeyValue = await bus.keyValue(...of);
  return withMethod(bucket, "put", async () => {
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => {});
  });
});
await new ActorSystem(deadly).spawn(Counter, { start: 1 }, { name, labels: { test: label! } });
