import { parentPort, workerData } from "node:worker_threads";
import { serveUi } from "./server.ts";
import type { UiBirth, UiReport } from "./ui-thread.ts";
import { WatchedRuns } from "./watched-runs.ts";

const { root, run, port } = workerData as UiBirth;
const say = (report: UiReport) => parentPort!.postMessage(report);
try {
  const { url } = await serveUi(WatchedRuns.ofFolder(root, [run]), { port });
  say({ url });
} catch (error) {
  say({ failure: (error as Error).message });
}
