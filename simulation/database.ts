import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Engine } from '../engine/index.js'
import { OpsError } from '../engine/index.js'
import { createEngine } from '../engine/methods.js'
import { statement } from '../engine/postgres.js'
import { type Micros, textOf as timeText } from './time.js'

/** A database in memory with the engine in it, and the verbs of supabase/simulation.sql. */
export interface SimulatedDatabase {
  /** The engine, by its usual doors. */
  engine: Engine
  /** The engine's clock, from the next call on. */
  setClock(at: Micros): void
  /** One of the functions of schema `sim`; the arguments as JSON, arrays and objects as jsonb. */
  sim(name: string, ...args: [type: string, value: unknown][]): Promise<unknown[]>
  /** Runs statements, for tests. */
  define(statements: string): Promise<void>
  close(): Promise<void>
}

const supabase = fileURLToPath(new URL('../supabase/', import.meta.url))

/** Opens an empty one: schema and functions as the migrations make them, no policies. Takes a few seconds. */
export async function openSimulatedDatabase(): Promise<SimulatedDatabase> {
  const db = await openPglite()
  for (const file of [
    'migrations/0001_ops_schema.sql',
    'migrations/0002_ops_functions.sql',
    'simulation.sql',
  ]) {
    await db.exec(await readFile(`${supabase}${file}`, 'utf8'))
  }
  await db.exec("set time zone 'UTC'")
  let clock: Micros | undefined
  // A clock that goes on with nothing to do costs nothing: it is set with the call that reads it.
  const query = async (text: string, values: unknown[]): Promise<unknown[]> => {
    if (clock !== undefined) await db.exec(`set sim.now = '${timeText(clock)}'`)
    clock = undefined
    const { rows } = await db.query<{ value: unknown }>(text, values)
    return rows.map(({ value }) => value)
  }
  const engine = createEngine({
    name: 'postgres',
    async rpc(fn, args) {
      // As JSON, whatever the columns: PGlite reads times and numbers of plain columns in its own way.
      const { text, values } = statement({ ...fn, plain: false }, args)
      return query(text, values)
    },
    close: () => db.close(),
  })
  return {
    engine,
    setClock(at) {
      clock = at
    },
    async sim(name, ...args) {
      const list = args.map(([type], index) => `$${index + 1}::text::${type}`).join(', ')
      const values = args.map(([, value]) => textOf(value))
      return query(`select to_json(v) as value from sim.${name}(${list}) v`, values)
    },
    async define(statements) {
      await db.exec(statements)
    },
    close: () => engine.close(),
  }
}

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Loaded only here: it is large, and no other part of the loop needs it. */
async function openPglite() {
  try {
    const { PGlite } = await import('@electric-sql/pglite')
    return await PGlite.create()
  } catch (error) {
    throw new OpsError('OPS_001', 'The database in memory that simulations run in cannot be started.', {
      cause: error,
      hint: 'Run npm ci in the folder of Ops Loop.',
    })
  }
}
