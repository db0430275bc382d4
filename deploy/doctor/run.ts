/** What a run waits for, as its learner tells it. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Phase, type StatusResponse } from "../../proto/gen/proxima/v1/learner_pb.ts";
import { type FindLearner, linkToRun } from "../learner-link.ts";
import { duration } from "../quantities.ts";
import type { Check, Finding } from "./check.ts";

/** Waiting longer than this for anything is worth a look. */
const STALL_MS = 60_000;

/** @param root where runs lie, usually "runs" */
export function runChecks(root: string, run: string, options: FindLearner): Check[] {
  const asked = status(root, run, options);
  asked.catch(() => {}); // told by each check
  return [
    { name: "learner", run: async () => learnerFinding(await asked) },
    { name: "progress", run: async () => progressFinding(await asked) },
    { name: "ledger", run: async () => ledgerFinding(await asked) },
  ];
}

async function status(root: string, run: string, options: FindLearner): Promise<StatusResponse> {
  const link = await linkToRun(root, run, options);
  try {
    return await link.client.status({}, { timeoutMs: 10_000 });
  } finally {
    link.close();
  }
}

function learnerFinding({ run, phase, iteration, weightsCounter, subscribers }: StatusResponse): Finding {
  return {
    ok: subscribers.length > 0,
    found: `${run} has done ${iteration} iterations (${nameOf(phase)}), ${subscribers.length} actors subscribe to its weights, version ${weightsCounter}`,
    expected: "a learner that answers, with actors",
    fix: `start actors: proxima actor --run ${run}`,
  };
}

const nameOf = (phase: Phase) =>
  Object.entries(Phase)
    .find(([, value]) => value === phase)?.[0]
    .toLowerCase();

function progressFinding({ waiting }: StatusResponse): Finding {
  const forMs = waiting?.since ? Date.now() - timestampMs(waiting.since) : 0;
  return {
    ok: forMs < STALL_MS,
    found: waiting?.what ?? "it waits for nothing",
    expected: `no wait of more than ${duration(STALL_MS)}`,
    fix: waiting?.advice,
  };
}

function ledgerFinding({ episodes }: StatusResponse): Finding {
  const { started = 0n, trained = 0n, inFlight = 0n, dropped = {} } = episodes ?? {};
  const reasons = Object.entries(dropped).map(([reason, n]) => `${n} ${reason}`);
  const lost = Object.values(dropped).reduce((a, b) => a + b, 0n);
  return {
    ok: started === trained + lost + inFlight,
    found: `${started} started = ${trained} trained + ${lost} dropped${reasons.length ? ` (${reasons.join(", ")})` : ""} + ${inFlight} in flight`,
    expected: "started = trained + dropped + in flight",
    fix: "this is a bug: please report it with the run's metrics.jsonl",
  };
}
