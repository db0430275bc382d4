/** What whoever runs bundles must be told: the same for the learner and for actors. */
import type { Fields } from "../../proto/config.ts";

export const bundleFields = {
  trustedKeys: {
    section: "bundles",
    type: "text",
    default: "" as string,
    pattern: /^((ed25519:[A-Za-z0-9_-]{43}|own)(\s*,\s*(ed25519:[A-Za-z0-9_-]{43}|own))*)?$/,
    expects: "public keys ed25519:… joined by commas; 'own' stands for those made on this machine",
    about: "Whose signature makes an environment bundle acceptable; nobody's when empty.",
  },
  sandbox: {
    section: "bundles",
    type: "choice",
    default: "auto",
    choices: ["auto", "deno", "none"],
    about:
      "Where a bundle runs. deno: in a process without permissions. none: in this one. auto: deno where there is one, unless a key of this machine signed the bundle.",
  },
  denoProgram: {
    section: "bundles",
    type: "text",
    default: "",
    about: "The Deno of the sandbox; looked for on the PATH when empty.",
  },
} as const satisfies Fields;
