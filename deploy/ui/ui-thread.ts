/**
 * The page beside a learner, in a thread of its own: neither waits for the other, however long an update or the credit of an
 * iteration takes. It reads the run's folder and asks over gRPC like any other page.
 */
import { once } from "node:events";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Ui } from "./server.ts";

export interface UiBirth {
  /** Folder of the runs. */
  root: string;
  /** Run to show first. */
  run: string;
  port: number;
  /** Folder with a viewer's secrets, for a learner that wants some. */
  secrets?: string;
}

/** What the thread says once. */
export type UiReport = { url: string } | { failure: string };

/** Rejects when the page cannot be served. */
export async function serveUiBeside(birth: UiBirth): Promise<Ui> {
  const worker = new Worker(new URL(`./ui-worker${extname(import.meta.url)}`, import.meta.url), { workerData: birth });
  worker.unref();
  const [report] = (await once(worker, "message")) as [UiReport];
  const close = async () => void (await worker.terminate());
  if ("url" in report) return { url: report.url, close };
  await close();
  throw new Error(report.failure);
}
