import { show } from './numbers.js'
import type { Contender, ContenderName, Context, Database, Subject } from './types.js'

/** What is measured of a contender. */
export interface Measurement {
  contender: ContenderName
  /** What is measured, one number of each in every round. */
  names: readonly string[]
  /** Opens as many processes of it as it likes. */
  measure(open: Open): Promise<readonly number[]>
}

/** Starts a process of the contender whose schema is made, in the database that is given or a fresh one. It is stopped after the measurement. */
export type Open = (database?: Database) => Promise<Contender>

/**
 * Measures each contender once in every round, one after the other, so that whatever else the machine does hits all. Each
 * measurement has a process and a database of its own. One that cannot be had is missing, with the reason.
 */
export function inTurn<Name extends ContenderName>(
  context: Context,
  names: readonly Name[],
  measure: (contender: Contender, name: Name) => Promise<number>,
): Promise<Subject[]> {
  return allInTurn(
    context,
    names.map((name) => ({
      contender: name,
      names: [name],
      measure: async (open) => [await measure(await open(), name)],
    })),
  )
}

/** The same for measurements of different kinds. */
export async function allInTurn(context: Context, measurements: readonly Measurement[]): Promise<Subject[]> {
  const series = measurements.map((measurement) => ({
    measurement,
    rounds: [] as (readonly number[])[],
    missing: undefined as string | undefined,
  }))
  for (let round = 1; round <= context.rounds; round++) {
    // There and back: what one leaves to the next, files to be deleted and memory to be written, is not always left to the same.
    for (const one of round % 2 === 1 ? series : series.toReversed()) {
      if (one.missing !== undefined) continue
      const { contender, names } = one.measurement
      context.at(`  round ${round} of ${context.rounds}: ${contender} …`)
      try {
        const values = await oneRound(context, one.measurement)
        one.rounds.push(values)
        for (const [n, name] of names.entries())
          context.log(`  round ${round}: ${name} ${show(values[n] ?? Number.NaN)}`)
      } catch (error) {
        // The whole bench was interrupted.
        if (error instanceof DOMException && error.name === 'AbortError') throw error
        one.missing = reasonOf(error)
        context.log(`  ${contender} is missing: ${one.missing}`)
      }
    }
  }
  return series.flatMap(({ measurement, rounds, missing }) =>
    measurement.names.map((name, n) => ({
      name,
      rounds: rounds.map((values) => values[n] ?? Number.NaN),
      missing,
    })),
  )
}

async function oneRound(
  context: Context,
  { contender: name, measure }: Measurement,
): Promise<readonly number[]> {
  const opened: Contender[] = []
  try {
    return await measure(async (database) => {
      const contender = await context.contender(name, database)
      opened.push(contender)
      await contender.call('prepare', {})
      return contender
    })
  } finally {
    for (const contender of opened) await contender.stop()
  }
}

function reasonOf(error: unknown): string {
  const [first = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
  return first
}

/** Measures something of ours in each round, in a database of its own. */
export async function oursInTurn(
  context: Context,
  name: string,
  measure: (database: Database) => Promise<number>,
): Promise<Subject> {
  const rounds: number[] = []
  for (let round = 1; round <= context.rounds; round++) {
    context.at(`  round ${round} of ${context.rounds}: ${name} …`)
    const database = await context.ourDatabase()
    try {
      const value = await measure(database)
      rounds.push(value)
      context.log(`  round ${round}: ${name} ${show(value)}`)
    } finally {
      await database.drop()
    }
  }
  return { name, rounds }
}
