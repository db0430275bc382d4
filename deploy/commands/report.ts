import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError, defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { MAX_REPORTED, renderReport } from "../report/report.ts";
import { figuresOf } from "../report/run-figures.ts";
import { onlyRun, readRunFolder } from "../run-folder.ts";
import { WatchedRun } from "../ui/watched-run.ts";

const schema = defineConfig({
  title: "report",
  fields: {
    run: {
      section: "report",
      type: "text",
      default: "",
      about: "Name of the run; the only one in runs/ when empty.",
    },
    compare: {
      section: "report",
      type: "text",
      default: "",
      about: "Further runs to set beside it, separated by commas.",
    },
    out: {
      section: "report",
      type: "text",
      default: "",
      about: "File to write; report.html in the run's folder when empty.",
    },
  },
});

export const command: Command = {
  usage: "proxima report [--run NAME] [--compare NAME,NAME…] [--out FILE]",
  about:
    "Writes one HTML file about a run, or several side by side: curves with intervals, how their settings differ, throughput against the age of episodes, and what holds them up, in words.",
  schema,
  examples: ["proxima report --run alfworld-1", "proxima report --run alfworld-1 --compare alfworld-2,alfworld-3"],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const others = config.compare.split(",").map((name) => name.trim());
    const names = [...new Set([config.run || onlyRun("runs"), ...others])].filter(Boolean);
    if (names.length > MAX_REPORTED)
      throw new ConfigError([`a report tells at most ${MAX_REPORTED} runs apart, found ${names.length}`]);
    const runs = await Promise.all(
      names.map(async (name) => {
        const figures = await figuresOf(new WatchedRun(readRunFolder("runs", name)));
        if (!figures) throw new ConfigError([`run '${name}' has no iteration yet, so there is nothing to report`]);
        return figures;
      }),
    );
    const file = config.out || join("runs", names[0]!, "report.html");
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, renderReport(runs));
    output.event("report", { file, runs: names });
    output.say(`${file} reports on ${names.join(", ")}.`);
    return exitCodes.ok;
  },
};
