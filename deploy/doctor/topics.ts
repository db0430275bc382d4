/** What `proxima doctor TOPIC` looks at; without a topic it is `machine`. Each is loaded only when it is asked for. */
import type { Check } from "./check.ts";

interface Topic {
  /** One line for `proxima doctor --help`. */
  summary: string;
  load(): Promise<{ checks: readonly Check[] }>;
}

export const topics: Readonly<Record<string, Topic>> = {
  machine: {
    summary: "what training on this machine needs: runtime, broker, ports, folders, disk, memory, data",
    load: () => import("./machine.ts"),
  },
  gpu: {
    summary: "what training on a GPU needs: driver, CUDA, cuDNN, packages, TensorFlow's addon",
    load: () => import("./gpu.ts"),
  },
};
