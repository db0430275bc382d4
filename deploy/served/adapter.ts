/** A LoRA adapter on the server for as long as an evaluation lasts. */
import { basename } from "node:path";
import { adapterHost, type ServedModelOptions } from "../../policy/language/served/index.ts";
import type { ServedConfig } from "./settings.ts";

export interface LoadedAdapter {
  /** By which requests ask for the base with it. */
  model: string;
  unload(): Promise<void>;
}

/** Nothing where the settings name no adapter. @throws ServedModelError when the server cannot load it */
export async function loadAdapter(
  { adapter, adapterServer }: ServedConfig,
  { baseUrl, model, apiKey }: ServedModelOptions,
): Promise<LoadedAdapter | undefined> {
  if (adapter === "") return undefined;
  const host = adapterHost(adapterServer, { baseUrl, model, apiKey });
  const name = adapterName(adapter);
  return { model: await host.load(name, adapter), unload: () => host.unload(name) };
}

/** Apart from adapters that others have loaded. */
export const adapterName = (folder: string) => `proxima-${basename(folder).replace(/[^\w.-]+/g, "_")}`;
