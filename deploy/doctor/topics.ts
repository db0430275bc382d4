/** What `proxima doctor TOPIC` looks at. Each is loaded only when it is asked for. */
import type { Check } from "./check.ts";

interface Topic {
  /** One line for `proxima doctor --help`. */
  summary: string;
  load(): Promise<{ checks: readonly Check[] }>;
}

export const topics: Readonly<Record<string, Topic>> = {
  gpu: {
    summary: "what training on a GPU needs: driver, CUDA, cuDNN, packages, TensorFlow's addon",
    load: () => import("./gpu.ts"),
  },
};
