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
import { checkedUrl, ServedModelError } from "./model.ts";

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

export function adapterHost(server: (typeof ADAPTER_SERVERS)[number], options: AdapterHostOptions): AdapterHost {
  return server === "vllm" ? new VllmAdapters(options) : new SglangAdapters(options);
}

interface Reply {
  status: number;
  ok: boolean;
  /** Parsed where it is JSON. */
  body: unknown;
  said: string;
}

abstract class Endpoint {
  protected readonly base: string;
  protected readonly options: AdapterHostOptions;

  constructor(options: AdapterHostOptions) {
    this.base = checkedUrl(options.baseUrl, options.apiKey !== undefined);
    this.options = options;
  }

  protected async post(url: string, body: object): Promise<Reply> {
    const { apiKey, timeoutMs = 120_000 } = this.options;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
        redirect: "error",
      });
      const text = await response.text();
      const isJson = /^\s*\{/.test(text);
      const parsed = isJson ? parseJson(text) : text;
      return { status: response.status, ok: response.ok, body: parsed, said: errorMessage(parsed) ?? text };
    } catch (error) {
      if (error instanceof ProtocolError) throw new ServedModelError(`${url} ${error.message}`, true);
      throw new ServedModelError(`${url} cannot be asked: ${(error as Error).message}`, false, { cause: error });
    }
  }

  protected refused(url: string, what: string, { status, said }: Reply, hint: string): ServedModelError {
    const message = `${url} did not ${what}: ${status} ${shown(said)}${/^not found$/i.test(said) ? `; ${hint}` : ""}`;
    const { apiKey } = this.options;
    return new ServedModelError(apiKey ? message.replaceAll(apiKey, "…") : message, status < 500);
  }
}

const VLLM_HINT = "vLLM serves this only with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True";

class VllmAdapters extends Endpoint implements AdapterHost {
  /** Requests name the adapter as if it were a model. */
  async load(name: string, folder: string): Promise<string> {
    const url = `${this.base}/load_lora_adapter`;
    let reply = await this.post(url, { lora_name: name, lora_path: folder, load_inplace: true });
    // Versions that know no load_inplace refuse a name that is taken.
    if (reply.status === 400 && /already/i.test(reply.said)) {
      await this.unload(name);
      reply = await this.post(url, { lora_name: name, lora_path: folder });
    }
    if (!reply.ok) throw this.refused(url, `load adapter '${name}' from ${folder}`, reply, VLLM_HINT);
    return name;
  }

  async unload(name: string): Promise<void> {
    const url = `${this.base}/unload_lora_adapter`;
    const reply = await this.post(url, { lora_name: name });
    const isUnknown = (reply.status === 400 || reply.status === 404) && reply.said.includes(name);
    if (!reply.ok && !isUnknown) throw this.refused(url, `unload adapter '${name}'`, reply, VLLM_HINT);
  }
}

const SGLANG_HINT = "SGLang serves this only with --enable-lora";

class SglangAdapters extends Endpoint implements AdapterHost {
  /** Beside /v1, not under it. */
  get #root(): string {
    return this.base.replace(/\/v1$/, "");
  }

  /** Requests name the base and the adapter, with a colon between them. */
  async load(name: string, folder: string): Promise<string> {
    const url = `${this.#root}/load_lora_adapter`;
    const wanted = { lora_name: name, lora_path: folder };
    let reply = await this.post(url, wanted);
    if (failed(reply) && /already/i.test(reply.said)) {
      await this.unload(name);
      reply = await this.post(url, wanted);
    }
    if (failed(reply)) throw this.refused(url, `load adapter '${name}' from ${folder}`, reply, SGLANG_HINT);
    return `${this.options.model}:${name}`;
  }

  async unload(name: string): Promise<void> {
    const url = `${this.#root}/unload_lora_adapter`;
    const reply = await this.post(url, { lora_name: name });
    if (failed(reply) && !reply.said.includes(name))
      throw this.refused(url, `unload adapter '${name}'`, reply, SGLANG_HINT);
  }
}

/** SGLang says {success, error_message}; older versions with status 200 even when it failed. */
function failed(reply: Reply): boolean {
  if (!isRecord(reply.body)) return !reply.ok;
  if (typeof reply.body.error_message === "string" && reply.body.error_message !== "")
    reply.said = reply.body.error_message;
  return !reply.ok || reply.body.success === false;
}
