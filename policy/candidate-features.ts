import type { Turn } from "../envs/environment.ts";
import { BoundedCache } from "./bounded-cache.ts";
import { bucket, FeatureList } from "./feature-list.ts";
import {
  type Command,
  type Instruction,
  MAX_ENTITIES,
  type Observation,
  readCommand,
  readInstruction,
  readObservation,
} from "./phrase.ts";
import type { EpisodeEncoder } from "./policy.ts";
import type { RowsBuilder } from "./rows.ts";
import { rolesIn, TranscriptMemory } from "./transcript-memory.ts";
import { argumentOf, readWishes, standsAt, type Wishes, WishMemory } from "./wishes.ts";

/** Families of features that can be left out. */
export interface FeatureFamilies {
  /** Every content word of the command with every one of the instruction. */
  pairs: boolean;
  /** Which names of the instruction a command, and the current observation, mention: a pointer, in effect. */
  overlap: boolean;
  /** How often and how recently the command and each of its entities were used. */
  counts: boolean;
  /** What was seen last at each entity, and the last command of each verb. */
  notes: boolean;
  /** What the instruction asks for to the letter, and what is on offer of it; places in the list. Observations without the instruction. */
  wishes: boolean;
}

/** Kinds of features, hashed in with their arguments. The numbers are part of what trained weights mean: never renumber. */
const WORD = 1;
const PATTERN = 2;
const PAIR = 3;
const OVERLAP = 4;
const NO_OVERLAP = 5;
const OVERLAPS = 6;
const OBSERVED = 7;
const AFTER = 8;
const TIMES = 9;
const SINCE = 10;
const ENTITY_TIMES = 11;
const ENTITY_SINCE = 12;
const NOTE = 13;
const BLANK_NOTE = 14;
const NO_NOTE = 15;
const IN_SIGHT = 16;
const LAST = 17;
const LAST_OTHER = 18;
const LAST_TIMES = 19;
const BEFORE = 20;
const SHARED = 21;
const SEEN_WORD = 22;
const ASKED_WORD = 23;
const RECENT_WORD = 24;
const RECENT_PATTERN = 25;
const OFFERED = 26;
// The same without the verb: what is learned with one verb holds for others at once.
const NAMED = 27;
const NOTED = 28;
const USED = 29;
// Wishes.
const PLACE = 30;
const STANDS = 31;
const COVERS = 32;
const RANK = 33;
const HERE = 34;
const LED = 35;
const STANDING = 36;
const TURN = 37;

const BUCKETS = 6;
/** Of each thing that a command is about: by how often it was used, with and without the verb, and since when; no note; in sight. */
const SLOT_IDS = 3 * BUCKETS + 2;

/**
 * The ids of the features that say how well a command and what it is about are known: few for each verb, and asked for at
 * every turn, so they are hashed once. Times, then since, by bucket; then SLOT_IDS for each slot.
 */
function usageIds(list: FeatureList, verb: number): Int32Array {
  list.clear();
  for (let b = 0; b < BUCKETS; b++) list.add(TIMES, verb, b);
  for (let b = 0; b < BUCKETS; b++) list.add(SINCE, verb, b);
  for (let slot = 0; slot < MAX_ENTITIES; slot++) {
    for (let b = 0; b < BUCKETS; b++) list.add(ENTITY_TIMES, verb, slot, b);
    for (let b = 0; b < BUCKETS; b++) list.add(USED, slot, b);
    for (let b = 0; b < BUCKETS; b++) list.add(ENTITY_SINCE, verb, slot, b);
    list.add(NO_NOTE, verb, slot);
    list.add(IN_SIGHT, verb, slot);
  }
  return list.copy();
}

/** A command under one instruction, with the features that never change. */
interface KnownCommand {
  readonly hash: number;
  readonly command: Command;
  readonly features: Int32Array;
  /** As of usageIds. */
  readonly usage: Int32Array;
  /** Where what it names stands in the instruction (`standsAt`). */
  readonly stands: number;
  /** How many content words of the instruction it has. */
  readonly covers: number;
}

interface KnownInstruction {
  readonly text: string;
  readonly instruction: Instruction;
  readonly wishes: Wishes;
  readonly commands: BoundedCache<KnownCommand>;
  /** Reads a command that is not among them. */
  read(text: string): KnownCommand;
}

const MAX_VERBS = 1024;
const MAX_WORDS = 12;
const MAX_PLACE = 20;
const MAX_TURN = 20;

/**
 * Turns of an episode as hashed features: one list for the state, one for each admissible action. Strings seen before cost a
 * lookup; what it remembers of them is bounded. One featuriser serves all episodes of a policy in one thread.
 */
export class CandidateFeaturiser {
  readonly families: FeatureFamilies;
  private readonly instructions = new BoundedCache<KnownInstruction>(32);
  private readonly commands = new BoundedCache<Command>(4096);
  private readonly observations = new BoundedCache<Observation>(2048);
  private readonly list: FeatureList;
  /** Of each verb of the row under way, the number of the list of its context. */
  private readonly contexts = new Map<number, number>();
  /** By verb. */
  private readonly usages = new Map<number, Int32Array>();

  constructor(families: FeatureFamilies, tableBits: number) {
    this.families = families;
    this.list = new FeatureList(tableBits);
  }

  episode(): EpisodeEncoder {
    return new CandidateEncoder(this);
  }

  instruction(text: string): KnownInstruction {
    return this.instructions.get(text, () => {
      const known: KnownInstruction = {
        text,
        instruction: readInstruction(text),
        wishes: readWishes(text),
        commands: new BoundedCache<KnownCommand>(1024),
        read: (command) => this.read(known, command),
      };
      return known;
    });
  }

  observation(text: string, known: KnownInstruction): Observation {
    const read = this.families.wishes && known.text !== "" ? text.replaceAll(known.text, "") : text;
    return this.observations.get(read, readObservation);
  }

  command(known: KnownInstruction, text: string): KnownCommand {
    return known.commands.get(text, known.read);
  }

  private read(known: KnownInstruction, text: string): KnownCommand {
    const command = this.commands.get(text, readCommand);
    const features = this.lasting(command, known.instruction);
    const usage = this.usage(command.verb);
    const { hash } = command;
    if (!this.families.wishes) return { hash, command, features, usage, stands: -2, covers: 0 };
    const covers = known.instruction.content.filter((word) => command.content.includes(word)).length;
    return { hash, command, features, usage, stands: standsAt(known.wishes, argumentOf(text)), covers };
  }

  private usage(verb: number): Int32Array {
    let usage = this.usages.get(verb);
    if (usage === undefined) {
      usage = usageIds(this.list, verb);
      if (this.usages.size >= MAX_VERBS) this.usages.clear();
      this.usages.set(verb, usage);
    }
    return usage;
  }

  /** Features of a command that depend on nothing but the instruction. */
  private lasting(command: Command, instruction: Instruction): Int32Array {
    const { list } = this;
    list.clear();
    const { verb, words, entities } = command;
    list.add(PATTERN, command.pattern);
    for (const word of words.subarray(0, MAX_WORDS)) list.add(WORD, word);
    if (this.families.pairs)
      for (const word of command.content.subarray(0, MAX_WORDS))
        for (const asked of instruction.content) list.add(PAIR, word, asked);
    if (this.families.overlap) {
      let overlaps = 0;
      for (let slot = 0; slot < entities.length; slot++) {
        const roles = rolesIn(instruction, (name) => entities[slot].mentions.includes(name));
        for (const role of roles) {
          list.add(OVERLAP, verb, slot, role);
          list.add(NAMED, role);
        }
        if (roles.length === 0) list.add(NO_OVERLAP, verb, slot);
        overlaps += roles.length;
      }
      list.add(OVERLAPS, verb, bucket(overlaps));
    }
    return list.copy();
  }

  /** Writes the row of one turn. */
  write(
    known: KnownInstruction,
    memory: TranscriptMemory,
    observation: Observation,
    turn: Turn,
    into: RowsBuilder,
    wishes?: WishMemory,
  ): void {
    const { list, contexts } = this;
    const admissible = turn.admissible ?? [];
    const commands = admissible.map((text) => this.command(known, text));
    wishes?.arrived(admissible, commands);
    const most = wishes === undefined ? [] : [...new Set(commands.map(({ covers }) => covers))].sort((a, b) => b - a);
    contexts.clear();
    let context: number | undefined;
    for (let i = 0; i < commands.length; i++) {
      const { command, features, usage } = commands[i];
      into.refer("shared", features);
      // Lists are often sorted, so that the commands of a verb follow each other.
      if (i === 0 || command.verb !== commands[i - 1].command.verb) context = contexts.get(command.verb);
      if (context === undefined) {
        this.context(command.verb, memory);
        context = into.referNew("shared", list.ids, list.count);
        contexts.set(command.verb, context);
      } else into.item("shared", context);
      list.clear();
      this.remembered(command, usage, memory, observation);
      if (wishes) this.wished(commands[i], i, most.indexOf(commands[i].covers), memory, wishes);
      into.items("candidates", list.ids, list.count);
      into.endList("candidates");
    }
    this.state(memory, observation);
    if (wishes) {
      const { missing, open, used } = wishes.here;
      list.add(STANDING, bucket(missing), bucket(open), bucket(used));
      list.add(TURN, Math.min(memory.actions, MAX_TURN));
    }
    into.items("state", list.ids, list.count);
    into.endRow();
  }

  /** What the transcript says to all commands of a verb. */
  private context(verb: number, memory: TranscriptMemory): void {
    const { list, families } = this;
    list.clear();
    for (let k = 0; k < 3; k++) list.add(AFTER, verb, k, memory.recent[k]?.verb ?? 0);
    if (families.overlap) for (const role of memory.seenRoles) list.add(OBSERVED, verb, role);
    if (families.notes) {
      let before = 0;
      for (const use of memory.verbs) {
        const other = use.verb;
        for (const role of use.roles) list.add(LAST, verb, other, role);
        if (use.roles.length === 0) list.add(LAST_OTHER, verb, other);
        if (families.counts) list.add(LAST_TIMES, verb, other, bucket(use.times));
        list.add(BEFORE, verb, before, other);
        before = other;
      }
    }
  }

  /** What the transcript says to this command in particular. */
  private remembered(command: Command, usage: Int32Array, memory: TranscriptMemory, observation: Observation): void {
    const { list, families } = this;
    const { verb, entities } = command;
    const now = memory.actions + 1;
    if (families.counts) {
      const use = memory.commands.get(command.hash);
      list.push(usage[use === undefined ? 0 : bucket(use.times)]);
      if (use !== undefined) list.push(usage[BUCKETS + bucket(now - use.last)]);
    }
    for (let slot = 0; slot < entities.length; slot++) {
      const { id } = entities[slot];
      const at = 2 * BUCKETS + slot * SLOT_IDS;
      const note = memory.notes.get(id);
      if (families.counts) {
        const times = note === undefined ? 0 : bucket(note.times);
        list.push(usage[at + times]);
        list.push(usage[at + BUCKETS + times]);
        if (note !== undefined) list.push(usage[at + 2 * BUCKETS + bucket(now - note.last)]);
      }
      if (families.notes) {
        if (note === undefined) list.push(usage[at + 3 * BUCKETS]);
        else if (note.roles.length === 0) list.add(BLANK_NOTE, verb, slot, note.verb);
        else
          for (const role of note.roles) {
            list.add(NOTE, verb, slot, note.verb, role);
            list.add(NOTED, slot, role);
          }
        if (observation.mentions.has(id)) list.push(usage[at + 3 * BUCKETS + 1]);
      }
    }
    if (!families.notes) return;
    for (let k = 0; k < memory.verbs.length; k++) {
      const use = memory.verbs[k];
      const others = use.command.entities;
      for (let slot = 0; slot < entities.length; slot++)
        for (let other = 0; other < others.length; other++)
          if (others[other].id === entities[slot].id) list.add(SHARED, verb, use.verb, slot);
    }
  }

  /** What the wishes say to this command; commands of a verb are told apart by the first word of what they name, and their place. */
  private wished(
    { command, stands, covers }: KnownCommand,
    place: number,
    rank: number,
    memory: TranscriptMemory,
    wishes: WishMemory,
  ): void {
    const { list } = this;
    const { hash, verb, content } = command;
    const { missing, open } = wishes.here;
    const level = Math.min(stands, 0);
    const used = wishes.wasUsedHere(hash) ? 1 : 0;
    const kind = level === 0 ? 1 : (content[1] ?? 0);
    list.add(PLACE, verb, kind, Math.min(place, MAX_PLACE));
    list.add(STANDS, verb, level, used);
    list.add(COVERS, verb, Math.min(covers, MAX_PLACE));
    list.add(RANK, verb, kind, Math.min(rank, 3));
    list.add(HERE, verb, kind, bucket(missing), 4 * Math.min(open, 3) + used);
    list.add(TURN, verb, kind, Math.min(memory.actions, MAX_TURN));
    const led = wishes.led.get(hash);
    list.add(LED, verb, led ?? -2, led === undefined || led < 0 ? -1 : led - wishes.fewest);
  }

  private state(memory: TranscriptMemory, observation: Observation): void {
    const { list } = this;
    list.clear();
    for (const word of observation.words.subarray(0, 64)) list.add(SEEN_WORD, word);
    for (const word of memory.instruction.words) list.add(ASKED_WORD, word);
    for (let k = 0; k < memory.recent.length; k++) {
      list.add(RECENT_PATTERN, k, memory.recent[k].pattern);
      for (const word of memory.recent[k].words) list.add(RECENT_WORD, k, word);
    }
    for (const verb of this.contexts.keys()) list.add(OFFERED, verb);
  }
}

class CandidateEncoder implements EpisodeEncoder {
  private readonly featuriser: CandidateFeaturiser;
  private known: KnownInstruction | undefined;
  private memory: TranscriptMemory | undefined;
  private wishes: WishMemory | undefined;

  constructor(featuriser: CandidateFeaturiser) {
    this.featuriser = featuriser;
  }

  encode(turn: Turn, into: RowsBuilder): void {
    if (typeof turn.observation !== "string")
      throw new TypeError(`Policy "candidates" reads text, but the observation is ${turn.observation.length} numbers`);
    this.known ??= this.featuriser.instruction(turn.instruction ?? "");
    this.memory ??= new TranscriptMemory(this.known.instruction);
    if (this.featuriser.families.wishes) this.wishes ??= new WishMemory(this.known.wishes);
    const observation = this.featuriser.observation(turn.observation, this.known);
    this.memory.observed(observation);
    this.featuriser.write(this.known, this.memory, observation, turn, into, this.wishes);
  }

  acted(action: number | Float32Array | string, label?: string): void {
    const text = label ?? action;
    if (typeof text !== "string" || this.known === undefined || this.memory === undefined)
      throw new TypeError('Policy "candidates" learns of an action by its text, after the turn it was chosen in');
    const { command } = this.featuriser.command(this.known, text);
    this.memory.acted(command);
    this.wishes?.acted(command.hash);
  }
}
