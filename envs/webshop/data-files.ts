import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { cacheFolder } from "../../proto/cache-folder.ts";

/** The original files of one catalogue. */
export interface DataFiles {
  items: string;
  attributes: string;
  humanInstructions: string;
  /** What spaCy's tagger found in the titles (`tag_titles.py`), where somebody made it. */
  titleNouns?: string;
}

export type CatalogueSize = "small" | "full";

/** One of the original's files. */
export interface OriginalFile {
  /** The last is the original's; another is taken where it lies. */
  names: readonly string[];
  about: string;
  /** Where WebShop's own setup downloads it from. */
  driveId: string;
  bytes: number;
  sha256: string;
}

const HUMAN: OriginalFile = {
  names: ["items_human_ins.json"],
  about: "human instructions",
  driveId: "14Kb5SPBk_jfdLZ_CDBNitW98QLDlKR5O",
  bytes: 5_137_548,
  sha256: "cf78667548a71786e1d9049c24b802e48e1084ad4bb021cae56ce1f6d96954a3",
};

const PARTS = ["items", "attributes", "humanInstructions"] as const;

const WANTED: Record<CatalogueSize, Record<(typeof PARTS)[number], OriginalFile>> = {
  small: {
    items: {
      names: ["items_shuffle_1000.json"],
      about: "1,000 products",
      driveId: "1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib",
      bytes: 4_467_013,
      sha256: "30a4765c3a327af72d9a9a95a6b2486d516f0fa1d3ecd83681901ce82a21b269",
    },
    attributes: {
      names: ["items_ins_v2_1000.json"],
      about: "their attributes and synthetic instructions",
      driveId: "1IduG0xl544V_A_jv3tHXC0kyFi7PnyBu",
      bytes: 147_099,
      sha256: "f88a36314a397b53b3d9c3fa5878e5f7b26d35019a51ec83fbedeca61a948f6f",
    },
    humanInstructions: { ...HUMAN, names: ["items_human_ins_1000.json", "items_human_ins.json"] },
  },
  full: {
    items: {
      names: ["items_shuffle.json"],
      about: "1.18 million products, 5 GB",
      driveId: "1A2whVgOO0euk5O13n2iYDM0bQRkkRduB",
      bytes: 5_479_720_229,
      sha256: "2ef591d65df3af89e972ab72468eb82cbf124d876552d9f3678667edd620a6c8",
    },
    attributes: {
      names: ["items_ins_v2.json"],
      about: "their attributes and synthetic instructions",
      driveId: "1s2j6NgHljiZzQNL3veZaAiyW_qDEgBNi",
      bytes: 186_295_270,
      sha256: "1d36af476bdb8f82a5da62bd8acdabe54cd8de2fa84010d37da5c4890feb447e",
    },
    humanInstructions: HUMAN,
  },
};

export function originalFiles(size: CatalogueSize): readonly OriginalFile[] {
  return PARTS.map((part) => WANTED[size][part]);
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Where files are looked for when no folder is given, in this order; new ones go to the first. */
export function dataFolders({ WEBSHOP_DATA, PROXIMA_DATA, ...env }: Variables = process.env): readonly string[] {
  return [
    ...(WEBSHOP_DATA ? [resolve(WEBSHOP_DATA)] : []),
    ...(PROXIMA_DATA ? [resolve(PROXIMA_DATA, "webshop"), resolve(PROXIMA_DATA)] : []),
    join(cacheFolder(env), "data", "webshop"),
  ];
}

/**
 * @param data a folder, or "" to look in `$WEBSHOP_DATA`, `$PROXIMA_DATA/webshop`, `$PROXIMA_DATA` and the cache
 * @throws Error that says what to download and where to put it
 */
export function findDataFiles(data: string, size: CatalogueSize): DataFiles {
  const folders = data !== "" ? [resolve(data)] : dataFolders();
  const wanted = WANTED[size];
  let best: { folder: string; missing: OriginalFile[] } | undefined;
  for (const folder of folders) {
    const found = PARTS.map((part) => wanted[part].names.map((name) => join(folder, name)).find(isFile));
    const missing = PARTS.filter((_, i) => found[i] === undefined).map((part) => wanted[part]);
    if (missing.length === 0) {
      const [items, attributes, humanInstructions] = found as string[];
      const titleNouns = join(folder, "title_nouns.json");
      return { items, attributes, humanInstructions, ...(isFile(titleNouns) ? { titleNouns } : {}) };
    }
    if (best === undefined || missing.length < best.missing.length) best = { folder, missing };
  }
  const { folder, missing } = best as { folder: string; missing: OriginalFile[] };
  const partly = missing.length < PARTS.length;
  const downloads = missing.map(
    ({ names, about, driveId }) => `  ${names.join(" or ")} (${about}): https://drive.google.com/uc?id=${driveId}`,
  );
  throw new Error(
    `webshop needs WebShop's data files for its ${size} catalogue, and ` +
      `${partly ? `${folder} lacks` : `none of these folders has them: ${folders.join(", ")}. Missing are`}\n` +
      `${downloads.join("\n")}\n` +
      `'proxima data fetch webshop${size === "full" ? " --split full" : ""}' fetches them; or put them into ` +
      `${partly ? folder : folders.at(-1)}, or name their folder with --env.data or $WEBSHOP_DATA`,
  );
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
