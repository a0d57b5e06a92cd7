import type { Contender, ContenderName, Context, Database, Subject } from './types.js'

/** What is measured of a contender, under a name of its own where that is not the contender's. */
export interface Measurement {
  name: string
  contender: ContenderName
  measure(contender: Contender): Promise<number>
}

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
    names.map((name) => ({ name, contender: name, measure: (contender) => measure(contender, name) })),
  )
}

/** The same for measurements of different kinds. */
export async function allInTurn(context: Context, measurements: readonly Measurement[]): Promise<Subject[]> {
  const subjects = measurements.map((measurement) => ({
    measurement,
    name: measurement.name,
    rounds: [] as number[],
    missing: undefined as string | undefined,
  }))
  for (let round = 1; round <= context.rounds; round++) {
    for (const subject of subjects) {
      if (subject.missing !== undefined) continue
      context.at(`  round ${round} of ${context.rounds}: ${subject.name} …`)
      try {
        const value = await oneRound(context, subject.measurement)
        subject.rounds.push(value)
        context.log(`  round ${round}: ${subject.name} ${value.toPrecision(4)}`)
      } catch (error) {
        // The whole bench was interrupted.
        if (error instanceof DOMException && error.name === 'AbortError') throw error
        subject.missing = reasonOf(error)
        context.log(`  ${subject.name} is missing: ${subject.missing}`)
      }
    }
  }
  return subjects.map(({ name, rounds, missing }) => ({ name, rounds, missing }))
}

async function oneRound(context: Context, { contender: name, measure }: Measurement): Promise<number> {
  const contender = await context.contender(name)
  try {
    await contender.call('prepare', {})
    return await measure(contender)
  } finally {
    await contender.stop()
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
      context.log(`  round ${round}: ${name} ${value.toPrecision(4)}`)
    } finally {
      await database.drop()
    }
  }
  return { name, rounds }
}
