import type { Bus } from "./bus.ts";
import { memoryBus } from "./memory.ts";
import type { NatsOptions } from "./nats.ts";
import { connectNats } from "./nats.ts";

export type * from "./bus.ts";
export {
  AbsentBucketError,
  BrokerTimeoutError,
  BusClosedError,
  ConnectError,
  KeyConflictError,
  MessageTooLargeError,
  NoResponderError,
  NotPermittedError,
  RemoteError,
  RequestTimeoutError,
  StreamFullTimeoutError,
} from "./errors.ts";
export { type MemoryBroker, memoryBroker, memoryBus } from "./memory.ts";
export { connectNats, type NatsOptions } from "./nats.ts";

/** Opens the bus that `url` names: "memory" for one within this process, else one or more NATS servers, joined by commas. */
export async function openBus(url: string, options: Omit<NatsOptions, "servers"> = {}): Promise<Bus> {
  if (url === "memory") return memoryBus();
  const servers = url.split(",").map((server) => server.trim());
  for (const server of servers) {
    if (!/^(nats|tls|ws|wss):\/\/.+/.test(server)) {
      throw new TypeError(
        `'${server}' is not a broker: expected "memory" or an address such as nats://127.0.0.1:4222 (or tls://, ws://, wss://).`,
      );
    }
  }
  return connectNats({ ...options, servers });
}
