/**
 * Reading JSON the way flannel's Go code does: field names match in any case (the last one wins), unknown fields and
 * nulls are ignored. Used for the network config and for leases; a valibot schema names the fields.
 */
import * as v from "valibot";

type Entries = v.ObjectEntries;

/** Parses `text` by `schema`; throws an Error whose message names the field that is wrong. */
export function parseFlannelJson<E extends Entries>(
  text: string,
  schema: v.ObjectSchema<E, undefined>,
): v.InferOutput<typeof schema> {
  const result = v.safeParse(schema, withSchemaNames(schema, JSON.parse(text)));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`${v.getDotPath(issue) ?? "value"}: ${issue.message}`);
}

/** Renames the fields of a value to the schema's spelling, level by level. */
function withSchemaNames(schema: unknown, value: unknown): unknown {
  const object = unwrap(schema);
  if (object === null || typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const names = namesOf(object.entries);
  const renamed: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) {
    const name = names.get(key.toLowerCase());
    if (name !== undefined && field !== null) renamed[name] = withSchemaNames(object.entries[name], field);
  }
  return renamed;
}

const knownNames = new WeakMap<Entries, ReadonlyMap<string, string>>();

/** The schema's spelling of each field, by its name in lower case. */
function namesOf(entries: Entries): ReadonlyMap<string, string> {
  let names = knownNames.get(entries);
  if (names === undefined) {
    names = new Map(Object.keys(entries).map((name) => [name.toLowerCase(), name]));
    knownNames.set(entries, names);
  }
  return names;
}

function unwrap(schema: unknown): { readonly entries: Entries } | null {
  const candidate = schema as { readonly wrapped?: unknown; readonly entries?: Entries };
  if (candidate.wrapped !== undefined) return unwrap(candidate.wrapped);
  return candidate.entries === undefined ? null : { entries: candidate.entries };
}
