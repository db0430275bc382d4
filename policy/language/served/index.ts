/** Language models that another process serves: see docs/language-models.md. */
export { ADAPTER_SERVERS, type AdapterHost, type AdapterHostOptions, adapterHost } from "./adapters.ts";
export type { ServedAnswer, ServedToken, TokenUsage } from "./answer.ts";
export { ServedModel, ServedModelError, type ServedModelOptions } from "./model.ts";
