import { actorSchema } from "../../actors/config.ts";
import { formatConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { playAsActor } from "../play-as-actor.ts";

export const command: Command = {
  usage: "proxima actor [--run NAME] [--nats URL] [--key value]…",
  about:
    "Plays episodes for a run with the weights that its learner publishes, until stopped. Start as many as there are machines; any of them may come, go or die at any time.",
  schema: actorSchema,
  examples: ["proxima actor --nats nats://learner-host:4222 --run alfworld-3 --slots 4"],
  async run({ arguments: given, output, signal }) {
    const resolved = resolveConfig(actorSchema, givenLayers(given, actorSchema));
    output.say(formatConfig(actorSchema, resolved));
    output.event("config", { config: resolved.config, origins: resolved.origins });
    const log = (message: string) => {
      output.say(message);
      output.event("log", { message });
    };
    await playAsActor(resolved.config, log, signal);
    return exitCodes.ok;
  },
};
