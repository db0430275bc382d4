/**
 * Servers that can swap LoRA adapters while they serve, behind one seam.
 *
 *   const host = adapterHost("vllm", { baseUrl: "http://127.0.0.1:8000/v1", model: "Qwen/Qwen2.5-1.5B-Instruct" });
 *   const model = await host.load("run-7", "/shared/adapters/run-7");       // PEFT's folder: adapter_config.json, adapter_model.safetensors
 *   new ServedModel({ baseUrl, model });                                    // asks the model with the adapter
 *
 * The server reads the folder itself: it must be where the server can see it. By the servers' documentation: vLLM
 * (https://docs.vllm.ai/en/latest/features/lora.html) when started with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, SGLang
 * (https://docs.sglang.ai/advanced_features/lora.html) when started with --enable-lora, --max-lora-rank and --lora-target-modules.
 */
import { errorMessage, isRecord, ProtocolError, parseJson, shown } from "./answer.ts";
import { checkedUrl, post, textOf } from "./http.ts";
import { ServedModelError } from "./model.ts";

export interface AdapterHost {
  /** Loads the adapter, or replaces what has that name. Gives the name by which requests ask for the base with it. */
  load(name: string, folder: string): Promise<string>;
  /** Forgets it. An adapter that is not there is no error. */
  unload(name: string): Promise<void>;
}

export const ADAPTER_SERVERS = ["vllm", "sglang"] as const;

export interface AdapterHostOptions {
  /** The same as of the served model. */
  baseUrl: string;
  /** The base's name. */
  model: string;
  apiKey?: string;
  /** A server may load from a slow disk. Default 120,000. */
  timeoutMs?: number;
}

/** In what the servers differ. */
interface Dialect {
  /** Where its paths begin. */
  root(baseUrl: string): string;
  /** What replaces an adapter of the same name at once, where the server's version knows it. */
  replacing: object;
  /** How requests name the base with the adapter. */
  asked(model: string, name: string): string;
  hint: string;
}

const dialects: Readonly<Record<(typeof ADAPTER_SERVERS)[number], Dialect>> = {
  vllm: {
    root: (baseUrl) => baseUrl,
    replacing: { load_inplace: true },
    asked: (_, name) => name,
    hint: "vLLM serves this only with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
  },
  sglang: {
    root: (baseUrl) => baseUrl.replace(/\/v1$/, ""),
    replacing: {},
    asked: (model, name) => `${model}:${name}`,
    hint: "SGLang serves this only with --enable-lora",
  },
};

/** @throws RangeError for an address that cannot be one, or would give the key away */
export function adapterHost(server: (typeof ADAPTER_SERVERS)[number], options: AdapterHostOptions): AdapterHost {
  const { root, replacing, asked, hint } = dialects[server];
  const base = root(checkedUrl(options.baseUrl, options.apiKey !== undefined));
  const { apiKey, timeoutMs = 120_000 } = options;

  const tell = async (path: string, body: object): Promise<Reply> => {
    const url = `${base}/${path}`;
    try {
      const response = await post(url, apiKey, body, AbortSignal.timeout(timeoutMs));
      return replyOf(response.status, await textOf(response));
    } catch (error) {
      const isFinal = error instanceof ProtocolError;
      const reason = isFinal ? error.message : `cannot be asked: ${(error as Error).message}`;
      throw new ServedModelError(`${url} ${reason}`, isFinal, { cause: error });
    }
  };
  const refused = (path: string, what: string, { status, said }: Reply) => {
    const advice = /^not found$/i.test(said) ? `; ${hint}` : "";
    const message = `${base}/${path} did not ${what}: ${status} ${shown(said)}${advice}`;
    return new ServedModelError(apiKey ? message.replaceAll(apiKey, "…") : message, status < 500);
  };

  const unload = async (name: string) => {
    const reply = await tell("unload_lora_adapter", { lora_name: name });
    const isUnknown = reply.status < 500 && reply.said.includes(name);
    if (reply.failed && !isUnknown) throw refused("unload_lora_adapter", `unload adapter '${name}'`, reply);
  };
  const load = async (name: string, folder: string) => {
    const wanted = { lora_name: name, lora_path: folder };
    let reply = await tell("load_lora_adapter", { ...wanted, ...replacing });
    if (reply.failed && /already/i.test(reply.said)) {
      await unload(name);
      reply = await tell("load_lora_adapter", wanted);
    }
    if (reply.failed) throw refused("load_lora_adapter", `load adapter '${name}' from ${folder}`, reply);
    return asked(options.model, name);
  };
  return { load, unload };
}

interface Reply {
  status: number;
  failed: boolean;
  said: string;
}

/** vLLM answers with a sentence, or {error: {message}}; SGLang with {success, error_message}, in older versions at status 200 too. */
function replyOf(status: number, text: string): Reply {
  const body = text.trimStart().startsWith("{") ? parseJson(text) : undefined;
  const fields = isRecord(body) ? body : {};
  const said = errorMessage(fields) ?? (typeof fields.error_message === "string" ? fields.error_message : text);
  return { status, failed: status < 200 || status > 299 || fields.success === false, said };
}
