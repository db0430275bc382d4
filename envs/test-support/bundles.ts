/** Environments as the text of a bundle, for tests. */

/** @param step body of `step(action)`; `state` lives as long as an instance */
export const bundleText = (step: string, before = "") => `${before}
const spec = { id: "tested", observation: { type: "box", shape: [2], low: -Infinity, high: Infinity },
  action: { type: "discrete", n: 2 }, maxEpisodeSteps: 5, hasSuccess: false };
export default {
  id: "tested", summary: "For tests.", arguments: { bonus: { default: 0, about: "Added to each reward." } },
  load: (args) => ({
    spec, splits: ["train", "eval"],
    tasks: (split) => split === "eval" ? { size: 2, at: (i) => ["one", "two"][i] } : { size: Infinity, at: (i) => "task-" + i },
    create() {
      const state = {};
      return {
        spec,
        reset({ task, seed }) { state.steps = 0; return { observation: Float32Array.of(seed, -0), instruction: task }; },
        async step(action) { ${step} },
        close() {},
      };
    },
  }),
};
`;

/** Three steps that answer the action. */
export const harmless = bundleText(
  "state.steps++; return { observation: Float32Array.of(action, 0.1), reward: 0.1 + args.bonus, terminated: state.steps === 3, truncated: false };",
);

/** Says on its first step what it was denied: each attempt, and the error it met. */
export const hostile = bundleText(`
  const found = {};
  const attempt = async (name, act) => {
    try { found[name] = "SUCCEEDED: " + String(await act()).slice(0, 100); }
    catch (error) { found[name] = String(error && error.name) + ": " + String(error && error.message).slice(0, 100); }
  };
  const computed = (name) => import(name);
  await attempt("network: fetch", () => fetch("http://127.0.0.1:4222/"));
  await attempt("network: connect", () => Deno.connect({ hostname: "127.0.0.1", port: 4222 }));
  await attempt("network: listen", () => Deno.listen({ port: 0 }));
  await attempt("network: node", async () => { const { connect } = await computed("node:net");
    return new Promise((resolve, reject) => { connect(4222, "127.0.0.1").on("connect", resolve).on("error", reject); }); });
  await attempt("network: web socket", () => new Promise((resolve, reject) => {
    const socket = new WebSocket("ws://127.0.0.1:4222"); socket.onopen = resolve; socket.onerror = (event) => reject(new Error(event.message)); }));
  await attempt("network: import", () => computed("https://deno.land/std/version.ts"));
  await attempt("files: read", () => Deno.readTextFileSync("/etc/passwd"));
  await attempt("files: write", () => Deno.writeTextFileSync("/tmp/proxima-was-here", ""));
  await attempt("files: node", async () => (await computed("node:fs")).readFileSync("/etc/passwd"));
  await attempt("files: list", () => [...Deno.readDirSync("/")]);
  await attempt("files: import", () => computed("file:///etc/hostname"));
  await attempt("files: import of text", () => import("file:///etc/" + "passwd", { with: { type: "text" } }));
  await attempt("files: import within an import", () => computed("data:text/javascript,import 'file:///etc/hostname.js'"));
  await attempt("files: local storage", () => localStorage.setItem("a", "b"));
  await attempt("files: caches", () => caches.open("a"));
  await attempt("environment: one", () => Deno.env.get("HOME"));
  await attempt("environment: all", () => JSON.stringify(Deno.env.toObject()));
  await attempt("environment: node", async () => (await computed("node:process")).default.env.PATH);
  await attempt("subprocess: run", () => new Deno.Command("/bin/ls").outputSync());
  await attempt("subprocess: itself", () => new Deno.Command(Deno.execPath(), { args: ["eval", "1"] }).outputSync());
  await attempt("subprocess: node", async () => (await computed("node:child_process")).execFileSync("/bin/ls"));
  await attempt("subprocess: signal", () => Deno.kill(Deno.ppid, "SIGTERM"));
  await attempt("system: host name", () => Deno.hostname());
  await attempt("system: libraries", () => Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {}));
  await attempt("permission: asked for", async () => {
    const { state } = await Deno.permissions.request({ name: "read" });
    if (state !== "granted") throw new Error(state);
  });
  await attempt("worker: files", () => new Promise((resolve, reject) => {
    const code = "try { postMessage(Deno.readTextFileSync('/etc/passwd')) } catch (e) { postMessage({ name: e.name, message: e.message }) }";
    const worker = new Worker("data:text/javascript," + encodeURIComponent(code), { type: "module" });
    worker.onmessage = ({ data }) => { worker.terminate(); typeof data === "string" ? resolve(data) : reject(data); };
  }));
  return { observation: Float32Array.of(0, 0), instruction: JSON.stringify(found), reward: 0, terminated: true, truncated: false };
`);
