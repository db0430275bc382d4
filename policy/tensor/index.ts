export { initialise } from "./initialise.ts";
// For another provider: implement Kernels, wrap it in KernelModel, and pass `conformance`.
export type { Handle, Kernels, Memory } from "./kernels.ts";
export { parameterCount, sizeOf } from "./layout.ts";
export { KernelModel } from "./model.ts";
export { defaultProvider, PROVIDERS } from "./provider.ts";
export { decodeSafetensors, encodeSafetensors, SafetensorsError, weightsFromSafetensors } from "./safetensors.ts";
export type {
  Activation,
  AdamOptions,
  AttentionCache,
  Indices,
  Model,
  ParameterSpec,
  Tensor,
  TensorProvider,
  Tensors,
} from "./tensors.ts";
