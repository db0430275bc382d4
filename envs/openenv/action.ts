/** From the JSON Schema of an OpenEnv action to a space of ours, and from our actions to its JSON. */
import type { Action, EnvironmentArguments, Space } from "../environment.ts";

/** The parts of JSON Schema that say what an action may be. */
interface Property {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  $ref?: string;
  anyOf?: Property[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  items?: Property;
  minItems?: number;
  maxItems?: number;
}

export interface ActionSchema {
  properties?: Record<string, Property>;
  required?: string[];
  $defs?: Record<string, Property>;
}

export interface ActionForm {
  space: Space;
  /** What travels. */
  toJson(action: Action): Record<string, unknown>;
  /** Of a discrete space of numbers: the number of index 0. */
  first: number;
}

/** Free text is bounded, as every message is. */
const MAX_TEXT = 4096;

/**
 * The field that an action fills: the one named, or the only one without a default. Other fields keep their defaults, or what `fixed`
 * says.
 * @throws TypeError that says which argument would settle what the schema leaves open
 */
export function actionForm(schema: ActionSchema, args: EnvironmentArguments): ActionForm {
  const fixed = fixedFields(String(args.fixed));
  const properties = Object.entries(schema.properties ?? {}).filter(
    ([name]) => name !== "metadata" && !Object.hasOwn(fixed, name),
  );
  const required = properties.filter(([name]) => schema.required?.includes(name));
  const candidates = required.length ? required : properties;
  const named = String(args.action);
  const chosen = named
    ? properties.find(([name]) => name === named)
    : candidates.length === 1
      ? candidates[0]
      : undefined;
  const names = properties.map(([name]) => name).join(", ") || "none";
  if (!chosen) {
    throw new TypeError(
      named
        ? `openenv: its action has no field "${named}", only: ${names}`
        : `openenv: its action has several fields (${names}): name the one to fill with --env.action, others with --env.fixed '{"name": value}'`,
    );
  }
  const [field, property] = chosen;
  const missing = required.find(([name]) => name !== field);
  if (missing) throw new TypeError(`openenv: its action also needs "${missing[0]}": give it with --env.fixed`);
  const { space, values, first } = spaceOf(field, resolved(property, schema), args);
  return {
    space,
    first,
    toJson: (action) => ({ ...fixed, [field]: toValue(space, action, values, first) }),
  };
}

function spaceOf(field: string, property: Property, args: EnvironmentArguments) {
  const plain = (space: Space, first = 0) => ({ space, values: undefined, first });
  const { type, minimum, maximum, items, minItems, maxItems } = property;
  if (property.enum)
    return { space: { type: "discrete", n: property.enum.length } as Space, values: property.enum, first: 0 };
  if (type === "boolean") return { space: { type: "discrete", n: 2 } as Space, values: [false, true], first: 0 };
  if (type === "integer") {
    const first = minimum ?? 0;
    const n = Number(args.actions) || (maximum === undefined ? 0 : maximum - first + 1);
    if (n < 1)
      throw new TypeError(
        `openenv: its schema does not bound "${field}": say how many actions there are with --env.actions`,
      );
    return plain({ type: "discrete", n }, first);
  }
  if (type === "string") return plain(args.admissible ? { type: "admissible" } : { type: "text", maxLength: MAX_TEXT });
  const element = type === "array" ? items : property;
  const size = type === "array" ? maxItems : 1;
  if (
    element?.type === "number" &&
    element.minimum !== undefined &&
    element.maximum !== undefined &&
    size !== undefined
  ) {
    if (type === "array" && minItems !== maxItems)
      throw new TypeError(
        `openenv: "${field}" may have ${minItems ?? 0} to ${maxItems} numbers, expected a fixed number`,
      );
    const space = { type: "box", shape: [size], low: element.minimum, high: element.maximum } as const;
    return { space: space as Space, values: type === "array" ? undefined : SCALAR, first: 0 };
  }
  throw new TypeError(
    `openenv: cannot act by "${field}" of type ${type ?? "unknown"}: expected an enumeration, a boolean, an integer, a string, or bounded numbers`,
  );
}

/** Marks a box whose only number travels by itself, not in a list. */
const SCALAR: unknown[] = [];

function toValue(space: Space, action: Action, values: unknown[] | undefined, first: number): unknown {
  if (space.type === "discrete") return values ? values[action as number] : (action as number) + first;
  if (space.type !== "box") return action;
  return values === SCALAR ? (action as Float32Array)[0] : Array.from(action as Float32Array);
}

/** Pydantic writes enumerations as references, and optional values as alternatives. */
function resolved(property: Property, schema: ActionSchema): Property {
  const referred = property.$ref ? schema.$defs?.[property.$ref.replace("#/$defs/", "")] : undefined;
  if (referred) return resolved(referred, schema);
  const alternative = property.anyOf?.find(({ type }) => type !== "null");
  return alternative ? resolved(alternative, schema) : property;
}

function fixedFields(text: string): Record<string, unknown> {
  if (text === "") return {};
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === "object" && fields !== null && !Array.isArray(fields))
      return fields as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new TypeError(`openenv: fixed must be a JSON object such as {"game": "chess"}, found ${text.slice(0, 80)}`);
}
