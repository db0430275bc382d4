/** Gymnasium's CartPole behind Proxima's EnvironmentService: `python -m proxima_env` as a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const bridge = join(import.meta.dirname, "../../envs/bridges/python");

export interface EnvironmentServer {
  address: string;
  stop(): Promise<void>;
}

/** @param cores that it may use, as in `program.ts` */
export async function startServer(python: string, cores: string): Promise<EnvironmentServer> {
  const command = ["--cpu-list", cores, python, "-m", "proxima_env", "gym", "CartPole-v1", "--port", "0"];
  const server = spawn("taskset", command, {
    env: { ...process.env, PYTHONPATH: bridge },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(server, "exit");
  const [line] = await Promise.race([
    once(createInterface({ input: server.stdout }), "line"),
    ended.then(() => {
      throw new Error("python -m proxima_env ended before it said its address");
    }),
  ]);
  const address = /127\.0\.0\.1:\d+/.exec(line)![0];
  return {
    address,
    async stop() {
      server.kill();
      await ended;
    },
  };
}
