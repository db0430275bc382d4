import { expect, test } from "bun:test";
import { adapterHost } from "./adapters.ts";
import { ServedModel, ServedModelError } from "./model.ts";
import { chat, json, type Responder, TestingEndpoint } from "./testing-endpoint.ts";

const base = "Qwen/Qwen2.5-1.5B-Instruct";

/** Folders by name, and an answer for those that ask with one: what a server does, in the words of its documentation. */
interface Server {
  loaded: Map<string, string>;
  responder: Responder;
}

/** @param inplace whether this version knows `load_inplace` */
function vllm(inplace: boolean): Server {
  const loaded = new Map<string, string>();
  const error = (message: string, code: number) => ({ error: { message, type: "InvalidUserInput", code } });
  return {
    loaded,
    responder({ path, body }, response) {
      const { lora_name: name, lora_path: folder, load_inplace } = body as Record<string, string>;
      if (path === "/v1/load_lora_adapter") {
        if (loaded.has(name!) && !(inplace && load_inplace))
          json(response, error(`The lora adapter '${name}' has already been loaded.`, 400), 400);
        else if (folder === "/nowhere")
          json(response, error(`Loading lora ${name} failed: No adapter found for ${folder}`, 404), 404);
        else {
          loaded.set(name!, folder!);
          response.end(`Success: LoRA adapter '${name}' added successfully.`);
        }
      } else if (path === "/v1/unload_lora_adapter") {
        if (loaded.delete(name!)) response.end(`Success: LoRA adapter '${name}' removed successfully.`);
        else json(response, error(`The lora adapter '${name}' cannot be found.`, 404), 404);
      } else chat(response, loaded.get(String(body.model)) ?? "base");
    },
  };
}

function sglang(): Server {
  const loaded = new Map<string, string>();
  return {
    loaded,
    responder({ path, body }, response) {
      const { lora_name: name, lora_path: folder } = body as Record<string, string>;
      const reply = (error_message: string) =>
        json(
          response,
          { success: error_message === "", error_message, loaded_adapters: Object.fromEntries(loaded) },
          error_message === "" ? 200 : 400,
        );
      if (path === "/load_lora_adapter") {
        if (loaded.has(name!)) reply(`LoRA adapter ${name} is already loaded.`);
        else if (folder === "/nowhere") reply(`Failed to load LoRA adapter ${name}: ${folder} is no folder`);
        else {
          loaded.set(name!, folder!);
          reply("");
        }
      } else if (path === "/unload_lora_adapter")
        reply(loaded.delete(name!) ? "" : `LoRA adapter with name ${name} does not exist.`);
      else chat(response, loaded.get(String(body.model).replace(`${base}:`, "")) ?? "base");
    },
  };
}

const servers = [
  { name: "vLLM", kind: "vllm", make: () => vllm(true), asks: "run-7" },
  { name: "a vLLM without load_inplace", kind: "vllm", make: () => vllm(false), asks: "run-7" },
  { name: "SGLang", kind: "sglang", make: sglang, asks: `${base}:run-7` },
] as const;

for (const { name, kind, make, asks } of servers) {
  test(`${name} loads an adapter, answers with it, takes a newer one under the same name, and forgets it`, async () => {
    const { loaded, responder } = make();
    await using endpoint = await TestingEndpoint.start(responder);
    const { baseUrl } = endpoint;
    const host = adapterHost(kind, { baseUrl, model: base });
    const answer = async (model: string) =>
      (await new ServedModel({ baseUrl, model }).answer([{ role: "user", content: "?" }])).text;

    const model = await host.load("run-7", "/adapters/1");
    expect(model).toBe(asks);
    expect(await answer(model)).toBe("/adapters/1");
    expect(await answer(base)).toBe("base");
    expect(await host.load("run-7", "/adapters/2")).toBe(asks);
    expect(await answer(model)).toBe("/adapters/2");
    await host.unload("run-7");
    await host.unload("run-7"); // not there any more: no error
    expect(loaded.size).toBe(0);
  });

  test(`${name} says why an adapter cannot be loaded`, async () => {
    await using endpoint = await TestingEndpoint.start(make().responder);
    const host = adapterHost(kind, { baseUrl: endpoint.baseUrl, model: base });
    const error = await host.load("run-7", "/nowhere").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServedModelError);
    expect((error as Error).message).toMatch(/did not load adapter 'run-7' from \/nowhere: 40[04] .*\/nowhere/);
  });
}

test("a server that was started without adapters is told apart, with what to do", async () => {
  await using endpoint = await TestingEndpoint.start((_, response) => json(response, { detail: "Not Found" }, 404));
  const { baseUrl } = endpoint;
  const attempt = (kind: "vllm" | "sglang") => adapterHost(kind, { baseUrl, model: base }).load("a", "/a");
  await expect(attempt("vllm")).rejects.toThrow("VLLM_ALLOW_RUNTIME_LORA_UPDATING=True");
  await expect(attempt("sglang")).rejects.toThrow("only with --enable-lora");
});

test("a server that is not there is an error that may pass", async () => {
  const endpoint = await TestingEndpoint.start(() => {});
  const { baseUrl } = endpoint;
  await endpoint[Symbol.asyncDispose]();
  const error = await adapterHost("vllm", { baseUrl, model: base })
    .load("a", "/a")
    .catch((reason) => reason);
  expect(error.isFinal).toBe(false);
  expect(error.message).toContain("/v1/load_lora_adapter cannot be asked");
});
