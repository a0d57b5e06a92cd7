import { PolicyFault } from '../fault.js'

export type Rendered<Value, Code extends string> =
  | { ok: true; value: Value }
  | { ok: false; problem: { code: Code; path: string; message: string } }

/** Runs a rendering and turns whatever it throws into an outcome. */
export function outcomeOf<Value, Code extends string>(
  code: Code,
  path: string,
  run: () => Value,
): Rendered<Value, Code> {
  try {
    return { ok: true, value: run() }
  } catch (error) {
    const at = error instanceof PolicyFault ? error.path : path
    const message = error instanceof Error ? error.message : String(error)
    return { ok: false, problem: { code, path: at, message } }
  }
}
