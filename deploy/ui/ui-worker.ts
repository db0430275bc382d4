import { parentPort, workerData } from "node:worker_threads";
import { roleSecrets } from "../secrets/role-secrets.ts";
import { serveUi } from "./server.ts";
import type { UiBirth, UiReport } from "./ui-thread.ts";
import { WatchedRuns } from "./watched-runs.ts";

const { root, run, port, secrets } = workerData as UiBirth;
const say = (report: UiReport) => parentPort!.postMessage(report);
try {
  const viewer = secrets === undefined ? undefined : roleSecrets(secrets, "viewer");
  const nodes = { nats: "", access: viewer?.bus ?? {} };
  const { url } = await serveUi(WatchedRuns.ofFolder(root, [run], viewer?.client), { port, nodes });
  say({ url });
} catch (error) {
  say({ failure: (error as Error).message });
}
