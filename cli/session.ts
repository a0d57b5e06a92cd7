import { userInfo } from 'node:os'
import type { Command } from 'commander'
import { harmless, harmlessJson } from '../engine/harmless.js'
import { type Engine, engineFromEnv, readEnv } from '../engine/index.js'
import { findDatabase, type GlobalOptions } from './connection.js'

/** Where a command's answer goes: as JSON with `--json`, as text otherwise. Made only where it is wanted. */
export type Answer = (value: unknown, text: () => string) => void

/** Runs a command's work with an engine, and closes that afterwards. */
export async function withEngine(
  command: Command,
  work: (engine: Engine, answer: Answer) => Promise<void>,
): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions>()
  await findDatabase(options)
  const engine = engineFromEnv(readEnv())
  try {
    await work(engine, answerFor(options))
  } finally {
    await engine.close()
  }
}

export function answerFor({ json }: GlobalOptions): Answer {
  return (value, text) =>
    console.log(json ? harmlessJson(JSON.stringify(value, undefined, 2)) : harmless(text()))
}

/** Who acts, as the record shall have it: `--as`, then `OPS_ACTOR`, then the name of the system's user. */
export function actorOf({ as }: { as?: string }): string {
  return as || process.env.OPS_ACTOR || systemUser()
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    // A container's user often has no name.
    return 'operator'
  }
}

/** The option of every command that decides something. */
export const AS_OPTION = ['--as <name>', 'who decides (default: OPS_ACTOR, then your user name)'] as const
