import {
  type Axiom,
  type Condition,
  type Conjunct,
  declare,
  disjuncts,
  type Literal,
  Names,
  type Parameter,
  readCondition,
  readLiteral,
  TRUE,
  type Vocabulary,
} from "./condition.ts";
import { Cursor, type Expression, readExpression } from "./reader.ts";

/** For all `parameters`: when all of `when` holds, `literal` comes true. */
export interface Effect {
  parameters: readonly Parameter[];
  when: readonly Literal[];
  literal: Literal;
}

/** An action with one disjunct of its precondition. `variables` are its parameters, then those of its `exists`. */
export interface Schema {
  name: string;
  parameters: readonly Parameter[];
  variables: readonly Parameter[];
  precondition: readonly Literal[];
  effects: readonly Effect[];
}

/** A derived predicate with one disjunct of its condition. */
export interface DerivedRule {
  head: Literal;
  variables: readonly Parameter[];
  body: readonly Literal[];
}

export interface Domain {
  name: string;
  /** Each type with all of its supertypes, in the order of declaration; the first is `object`. */
  types: ReadonlyMap<string, readonly string[]>;
  constants: readonly Parameter[];
  vocabulary: Vocabulary;
  schemas: readonly Schema[];
  derived: readonly DerivedRule[];
}

/** A goal as conjuncts of which each must hold, each given by its disjuncts; `derived` are rules that only it needs. */
export interface Goal {
  conjuncts: readonly (readonly Conjunct[])[];
  derived: readonly DerivedRule[];
}

/** Reads a PDDL domain: typing, ADL conditions and effects, derived predicates; costs are ignored. Throws SourceError. */
export function readDomain(text: string): Domain {
  const c = new Cursor(text);
  const root = readExpression(text);
  const sections = c.list(root, "(define …)", root);
  if (c.head(root, "(define …)") !== "define") c.error("expected (define (domain …) …)", root);
  const name = definedName(c, root, sections[1], "domain");

  let types: Parameter[] = [];
  let constants: Parameter[] = [];
  const arity = new Map([["=", 2]]);
  const actions: Expression[] = [];
  const axioms: Expression[] = [];
  for (const section of sections.slice(2)) {
    const parts = c.list(section, "a section such as (:action …)", root);
    switch (c.head(section, "a section such as (:action …)")) {
      case ":requirements":
      case ":functions":
        break; // Costs do not change what can be done.
      case ":types":
        types = c.typedList(parts, 1, "a type");
        break;
      case ":constants":
        constants = c.typedList(parts, 1, "a constant");
        break;
      case ":predicates":
        for (const predicate of parts.slice(1)) declarePredicate(c, predicate, arity);
        break;
      case ":action":
        actions.push(section);
        break;
      case ":derived":
        axioms.push(section);
        break;
      default:
        c.error(`unknown section '${parts[0]?.token}'`, section);
    }
  }
  const supertypes = withSupertypes(types);
  const untyped = constants.find(({ type }) => !supertypes.has(type));
  if (untyped)
    throw new RangeError(`PDDL: the type '${untyped.type}' of the constant '${untyped.name}' is not declared`);
  const vocabulary: Vocabulary = { arity, types: new Set(supertypes.keys()) };
  const derived = new DerivedRules();
  for (const axiom of axioms) readAxiom(c, axiom, vocabulary, derived);
  const schemas = actions.flatMap((action) => readAction(c, action, vocabulary, derived));
  for (const { literal } of schemas.flatMap((s) => s.effects)) {
    if (derived.rules.some((rule) => rule.head.predicate === literal.predicate)) {
      throw new RangeError(`PDDL: the derived predicate '${literal.predicate}' is the effect of an action`);
    }
  }
  return { name, types: supertypes, constants, vocabulary, schemas, derived: derived.rules };
}

export function definedName(c: Cursor, root: Expression, e: Expression | undefined, kind: string): string {
  const parts = c.list(e, `(${kind} NAME)`, root);
  if (parts.length !== 2 || c.head(e!, `(${kind} NAME)`) !== kind) c.error(`expected (${kind} NAME)`, e!);
  return c.token(parts[1], "a name", e!);
}

function declarePredicate(c: Cursor, e: Expression, arity: Map<string, number>): void {
  const name = c.head(e, "a predicate declaration");
  if (name === "") c.error("a predicate needs a name", e);
  // The text grammar says `not_p` where p was made false.
  if (name.startsWith("not_")) c.error(`a predicate may not begin with 'not_': '${name}'`, e);
  arity.set(name, c.typedList(e.parts!, 1, "a variable").length);
}

/** Every declared type with the transitive closure of its supertypes. */
function withSupertypes(declared: readonly Parameter[]): Map<string, string[]> {
  const direct = new Map<string, Set<string>>([["object", new Set()]]);
  for (const { name, type } of declared) {
    if (!direct.has(name)) direct.set(name, new Set());
    direct.get(name)!.add(type);
    // A supertype that nobody declares is still a type.
    if (!direct.has(type)) direct.set(type, new Set(["object"]));
  }
  const result = new Map<string, string[]>();
  for (const name of direct.keys()) {
    const all = new Set<string>();
    const queue = [...direct.get(name)!];
    for (let type = queue.pop(); type !== undefined; type = queue.pop()) {
      if (all.has(type)) continue;
      all.add(type);
      queue.push(...(direct.get(type) ?? []));
    }
    all.delete(name);
    result.set(name, [...all]);
  }
  return result;
}

/** Collects the rules of derived predicates, those written and those that stand for a `forall`. */
class DerivedRules {
  readonly rules: DerivedRule[] = [];
  readonly #prefix: string;
  #count = 0;

  constructor(prefix = "new-axiom@") {
    this.#prefix = prefix;
  }

  add(axiom: Axiom): void {
    const head = { predicate: axiom.name, args: axiom.parameters.map((p) => p.name), negated: false };
    for (const d of this.split(axiom.condition, axiom.parameters)) {
      this.rules.push({ head, variables: [...axiom.parameters, ...d.parameters], body: d.literals });
    }
  }

  split(condition: Condition, scope: readonly Parameter[]): Conjunct[] {
    return disjuncts(condition, new Map(scope.map((p) => [p.name, p.type])), (parameters, broken) => {
      const name = `${this.#prefix}${this.#count++}`;
      this.add({ name, parameters, condition: broken });
      return name;
    });
  }
}

function readAxiom(c: Cursor, e: Expression, vocabulary: Vocabulary, derived: DerivedRules): void {
  const parts = e.parts!;
  if (parts.length !== 3) c.error("expected (:derived (PREDICATE …) CONDITION)", e);
  const name = c.head(parts[1], "a predicate with its variables");
  const names = new Names();
  const { parameters, scope } = declare(c.typedList(parts[1].parts!, 1, "a variable"), names, new Map());
  if (vocabulary.arity.get(name) !== parameters.length) c.error(`'${name}' is not declared like this`, parts[1]);
  derived.add({ name, parameters, condition: readCondition(c, parts[2], vocabulary, names, scope) });
}

function readAction(c: Cursor, e: Expression, vocabulary: Vocabulary, derived: DerivedRules): Schema[] {
  const parts = e.parts!;
  const name = c.token(parts[1], "the action's name", e);
  const fields = new Map<string, Expression>();
  for (let i = 2; i < parts.length; i += 2) {
    const key = c.token(parts[i], "':parameters', ':precondition' or ':effect'", e);
    if (![":parameters", ":precondition", ":effect"].includes(key)) c.error(`unknown field '${key}'`, parts[i]);
    if (fields.has(key)) c.error(`'${key}' is given twice`, parts[i]);
    c.list(parts[i + 1], `a list after '${key}'`, parts[i]);
    fields.set(key, parts[i + 1]);
  }
  const names = new Names();
  const typed = c.typedList(fields.get(":parameters")?.parts ?? [], 0, "a parameter");
  for (const p of typed) if (!p.name.startsWith("?")) c.error(`expected a variable, found '${p.name}'`, p.at);
  const { parameters, scope } = declare(typed, names, new Map());
  const precondition = fields.has(":precondition")
    ? readCondition(c, fields.get(":precondition")!, vocabulary, names, scope)
    : TRUE;
  const effects: Effect[] = [];
  const context = { c, vocabulary, names, derived, parameters };
  if (fields.get(":effect")?.parts?.length) readEffect(context, fields.get(":effect")!, [], scope, TRUE, effects);
  // An action without effects cannot be taken: the planner drops it.
  if (effects.length === 0) return [];
  return derived.split(precondition, parameters).map((d) => ({
    name,
    parameters,
    variables: [...parameters, ...d.parameters],
    precondition: d.literals,
    effects,
  }));
}

interface EffectContext {
  c: Cursor;
  vocabulary: Vocabulary;
  names: Names;
  derived: DerivedRules;
  parameters: readonly Parameter[];
}

function readEffect(
  context: EffectContext,
  e: Expression,
  quantified: readonly Parameter[],
  scope: ReadonlyMap<string, string>,
  when: Condition,
  into: Effect[],
): void {
  const { c, vocabulary, names } = context;
  const tag = c.head(e, "an effect");
  const parts = e.parts!;
  if (tag === "and") {
    for (const part of parts.slice(1)) readEffect(context, part, quantified, scope, when, into);
  } else if (tag === "forall") {
    if (parts.length !== 3) c.error("'forall' takes a list of variables and one effect", e);
    const inner = declare(c.typedList(c.list(parts[1], "a list of variables", e), 0, "a variable"), names, scope);
    readEffect(context, parts[2], [...quantified, ...inner.parameters], inner.scope, when, into);
  } else if (tag === "when") {
    if (parts.length !== 3) c.error("'when' takes a condition and an effect", e);
    const condition = readCondition(c, parts[1], vocabulary, names, scope);
    const both: Condition = when === TRUE ? condition : { type: "and", parts: [when, condition] };
    readEffect(context, parts[2], quantified, scope, both, into);
  } else if (tag !== "increase") {
    const literal = readLiteral(c, e, false, vocabulary, scope);
    for (const d of context.derived.split(when, [...context.parameters, ...quantified])) {
      addEffect(into, { parameters: [...quantified, ...d.parameters], when: d.literals, literal });
    }
  }
}

/** Of two opposite effects under the same condition the one that makes true stays. */
function addEffect(into: Effect[], effect: Effect): void {
  const opposite = into.findIndex(
    (other) =>
      other.literal.negated !== effect.literal.negated &&
      sameAtom(other.literal, effect.literal) &&
      other.parameters.length === effect.parameters.length &&
      other.when.length === effect.when.length &&
      other.when.every((w, i) => w.negated === effect.when[i].negated && sameAtom(w, effect.when[i])),
  );
  if (opposite < 0) into.push(effect);
  else if (into[opposite].literal.negated) into.splice(opposite, 1, effect);
}

function sameAtom(a: Literal, b: Literal): boolean {
  return a.predicate === b.predicate && a.args.every((arg, i) => arg === b.args[i]);
}

/** The goal `e` of a problem, split so that each conjunct can be watched by itself. */
export function readGoal(c: Cursor, e: Expression, domain: Domain): Goal {
  const derived = new DerivedRules("goal-axiom@");
  const condition = readCondition(c, e, domain.vocabulary, new Names(), new Map());
  const conjuncts: Conjunct[][] = [];
  const collect = (part: Condition): void => {
    if (part.type === "and") part.parts.forEach(collect);
    else conjuncts.push(derived.split(part, []));
  };
  collect(condition);
  return { conjuncts, derived: derived.rules };
}
