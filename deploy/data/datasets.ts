/** The data sets that environments play: what they consist of, where they come from and where they belong. */
import { basename, join } from "node:path";
import { countGames, DATA_SPLITS, dataHome, findData, GAME_FILE, ROOT } from "../../envs/alfworld/data.ts";
import { type CatalogueSize, dataFolders, findDataFiles, originalFiles } from "../../envs/webshop/data-files.ts";
import type { Known } from "./download.ts";

export interface RemoteFile extends Known {
  name: string;
  about: string;
  /** In the order in which they are tried; all of them lead to the same bytes. */
  urls: readonly string[];
}

export interface Dataset {
  /** The environment that plays it. */
  id: string;
  about: string;
  splits: readonly string[];
  /** What is fetched when nobody says which. */
  defaultSplits: readonly string[];
  /** Where the environment looks first. */
  home(): string;
  files(splits: readonly string[]): readonly RemoteFile[];
  /** Disk space that these splits take, about, next to the downloads. */
  unpackedBytes(splits: readonly string[]): number;
  /** Where a file of an archive, or a file by itself, belongs in the folder; undefined when it is of no use. */
  place(path: string, splits: readonly string[]): string | undefined;
  /** What makes up a split, relative to the folder: each is moved into place whole. */
  units(split: string): readonly string[];
  /** What the folder has of a split ("140 games"), or undefined. */
  amount(folder: string, split: string): string | undefined;
  /** Folder in which the environment finds a split now. */
  found(split: string): string | undefined;
}

const MB = 1_000_000;

/** One archive holds all games; the other archives of the project hold what its pictures and its experts need. */
const GAMES: RemoteFile = {
  name: "json_2.1.3_tw-pddl.zip",
  about: "all games",
  urls: ["https://github.com/alfworld/alfworld/releases/download/0.4.2/json_2.1.3_tw-pddl.zip"],
  bytes: 36_507_267,
  sha256: "5df77ea759f2211a4106082839ddbbb790f1ba4e7d097ed732cf453f72aa36cf",
};

const alfworld: Dataset = {
  id: "alfworld",
  about: "the original games of ALFWorld",
  splits: DATA_SPLITS,
  defaultSplits: DATA_SPLITS,
  home: dataHome,
  files: () => [GAMES],
  unpackedBytes: (splits) => (splits.includes("train") ? 900 : 100) * MB,
  place(path, splits) {
    const [file, trial, task, split] = path.split("/").reverse();
    if (file !== GAME_FILE || !trial || !task || !split || !splits.includes(split)) return undefined;
    return join(ROOT, split, task, trial, file);
  },
  units: (split) => [join(ROOT, split)],
  amount(folder, split) {
    const games = [join(folder, ROOT), folder].map((root) => countGames(root, split)).find((count) => count > 0);
    return games === undefined ? undefined : `${games.toLocaleString("en")} game${games === 1 ? "" : "s"}`;
  },
  found(split) {
    const root = attempt(() => findData(""));
    return root !== undefined && countGames(root, split) > 0 ? root : undefined;
  },
};

/** A public copy of the files, byte for byte the same; Google Drive refuses files that too many people ask for. */
const MIRROR =
  "https://huggingface.co/datasets/YWZBrandon/webshop-data/resolve/ce990fff5aee388db2706f07820c578ab68e0453";

const webshop: Dataset = {
  id: "webshop",
  about: "WebShop's products and instructions",
  splits: ["small", "full"],
  defaultSplits: ["small"],
  home: () => dataFolders()[0],
  files: (splits) =>
    originals(splits).map(({ names, about, driveId, bytes, sha256 }) => {
      const name = names.at(-1) as string;
      const drive = `https://drive.usercontent.google.com/download?id=${driveId}&export=download&confirm=t`;
      return { name, about, bytes, sha256, urls: [drive, `${MIRROR}/${name}`] };
    }),
  unpackedBytes: () => 0,
  place: (path, splits) =>
    originals(splits).some(({ names }) => names.includes(basename(path))) ? basename(path) : undefined,
  units: (split) => originals([split]).flatMap(({ names }) => names),
  amount(folder, split) {
    const size = split as CatalogueSize;
    return attempt(() => findDataFiles(folder, size)) && originalFiles(size)[0].about;
  },
  found(split) {
    return dataFolders().find((folder) => attempt(() => findDataFiles(folder, split as CatalogueSize)) !== undefined);
  },
};

/** Each once, though two splits share one. */
function originals(splits: readonly string[]) {
  const all = splits.flatMap((split) => originalFiles(split as CatalogueSize));
  return all.filter(({ sha256, names }, i) => {
    const same = all.findIndex((other) => other.sha256 === sha256 && other.names.at(-1) === names.at(-1));
    return same === i;
  });
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

export const datasets: readonly Dataset[] = [alfworld, webshop];
