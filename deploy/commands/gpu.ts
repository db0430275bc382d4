import type { DeviceName } from "../../policy/tensor/tfjs/packages.ts";
import { ConfigError, defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { buildAddon, deviceNames, installPackages, probeDevice } from "../devices.ts";

const schema = defineConfig({
  title: "gpu",
  fields: {
    tensorflow: {
      section: "build-addon",
      type: "text",
      default: "",
      about: "Folder of Python's tensorflow package, whose libraries the addon is to use.",
    },
  },
});

export const command: Command = {
  usage: "proxima gpu install [webgpu] [tensorflow] | build-addon --tensorflow DIR",
  about:
    "Gets what '--device webgpu' and '--device tensorflow' need, into the cache folder: the packages from npm, and an addon compiled against the TensorFlow that is here. 'proxima doctor gpu' says what is missing.",
  schema,
  takesWords: true,
  examples: [
    "proxima gpu install webgpu",
    "proxima gpu build-addon --tensorflow venv/lib/python3.12/site-packages/tensorflow",
  ],
  async run(context) {
    const { arguments: given } = context;
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const [verb, ...words] = given.words;
    if (verb === "install") return install(words, context);
    if (verb === "build-addon" && words.length === 0) return build(config.tensorflow, context);
    throw new ConfigError([`expected '${command.usage}', found 'gpu ${given.words.join(" ")}'`]);
  },
};

async function install(words: readonly string[], { output }: CommandContext): Promise<number> {
  const unknown = words.filter((word) => !deviceNames.includes(word as DeviceName));
  if (unknown.length > 0)
    throw new ConfigError([`there is no device '${unknown.join(" ")}' to install: choose ${deviceNames.join(" or ")}`]);
  const devices = words.length > 0 ? (words as DeviceName[]) : deviceNames;
  output.say(`Installing the packages of ${devices.join(" and ")} …`);
  const folder = await installPackages(devices);
  output.event("installed", { devices, folder });
  output.say(`They lie in ${folder}.`);
  if (devices.includes("webgpu")) await show("webgpu", output);
  return exitCodes.ok;
}

async function build(tensorflow: string, { output }: CommandContext): Promise<number> {
  if (tensorflow === "") throw new ConfigError(["build-addon needs --tensorflow DIR, the folder of Python's package"]);
  output.say("Compiling the addon (about ten seconds) …");
  const built = await buildAddon(tensorflow);
  output.event("built", built);
  output.say(`It lies in ${built.path} and uses the libraries in ${built.tensorflow}.`);
  return (await show("tensorflow", output)) ? exitCodes.ok : exitCodes.failure;
}

/** Opens the device once and says what it is. */
async function show(device: DeviceName, output: CommandContext["output"]): Promise<boolean> {
  try {
    const opened = await probeDevice(device);
    output.event("device", { device, ...opened });
    output.say(`Device ${device}: ${opened.description}${opened.isGpu ? "" : " (no GPU)"}.`);
    return true;
  } catch (error) {
    output.error((error as Error).message);
    return false;
  }
}
