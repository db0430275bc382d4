/** What the learner's gRPC service may do to a running learner. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EnvironmentSpec } from "../envs/environment.ts";
import { Phase } from "../proto/gen/proxima/v1/learner_pb.ts";
import { StatusError, status } from "../proto/grpc.ts";
import type { Learner } from "./learner.ts";
import type { LearnerControls } from "./learner-service.ts";
import type { Diagnosis } from "./watchdog.ts";
import type { WeightsServer } from "./weights-server.ts";

interface Controlled {
  run: string;
  environment: EnvironmentSpec;
  learner: Learner;
  server(): WeightsServer;
  diagnose(): Diagnosis;
}

export function learnerControls({ run, environment, learner, server, diagnose }: Controlled): LearnerControls {
  return {
    status() {
      const { section, paused } = learner.status();
      const { counters } = learner;
      const { started, trained, inFlight, reasons } = learner.ledger.balance();
      const counts = Object.entries(reasons).map(([reason, count]) => [reason, BigInt(count)]);
      const { what, sinceMs, advice } = diagnose();
      const newest = server().newest?.version;
      return {
        run,
        phase: paused !== undefined ? Phase.PAUSED : section === "wait" ? Phase.COLLECTING : Phase.UPDATING,
        iteration: BigInt(counters.iteration),
        envSteps: BigInt(counters.envSteps),
        weightsCounter: BigInt(newest?.counter ?? 0),
        weightsSha256: newest && Buffer.from(newest.sha256, "hex"),
        episodes: {
          started: BigInt(started),
          trained: BigInt(trained),
          inFlight: BigInt(inFlight),
          dropped: Object.fromEntries(counts),
        },
        environment: { generation: 0n, environmentId: environment.id, canaryShare: 1 },
        subscribers: server()
          .subscribers()
          .map(({ actor, peer, held, lagVersions, connectedAtMs, refused, refusedReason }) => ({
            actor,
            peer,
            heldCounter: held && BigInt(held.counter),
            lagVersions: BigInt(lagVersions),
            connectedSince: timestampFromMs(connectedAtMs),
            refused: BigInt(refused),
            refusedReason,
          })),
        waiting: { what, since: timestampFromMs(Math.round(sinceMs)), advice },
        pausedReason: paused?.reason ?? "",
      };
    },
    pause(reason) {
      learner.pause(reason);
      return learner.counters.iteration;
    },
    resume() {
      learner.resume();
      return learner.counters.iteration;
    },
    async checkpoint() {
      const { path, iteration } = await learner.checkpointNow();
      return { path, iteration, weightsCounter: iteration };
    },
    swapEnvironment() {
      throw new StatusError(
        status.FAILED_PRECONDITION,
        `run ${run} trains on ${environment.id} for its whole life; start a new run for another environment`,
      );
    },
  };
}
