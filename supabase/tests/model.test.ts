/**
 * Random sequences of everything that can be done to the engine. After each command no invariant is broken, what has ended
 * has not changed but by an operator's hand, a refused command has changed nothing, and the answer is the one that the
 * state before it called for. Then the same by pairs of commands that meet.
 */
import fc from 'fast-check'
import postgres from 'postgres'
import { beforeAll, expect, test } from 'vitest'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { openSession, type Session } from './contention.js'
import {
  admittingVerbs,
  attempt,
  checkCaps,
  checkEnded,
  type Draw,
  draw,
  look,
  newWorld,
  operatorVerbs,
  stateOf,
  type Verb,
  type World,
} from './model.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import type { Connection } from './work.js'

const runs = Number(process.env.MODEL_RUNS ?? 60)
const pairRuns = Number(process.env.MODEL_PAIR_RUNS ?? 8)
const seed = Number(process.env.MODEL_SEED ?? 20_261_121)
const path = process.env.MODEL_PATH

let db: SharedDatabase
let sql: Connection
let keeper: Session
let left: Session
let right: Session
beforeAll(async () => {
  db = await openSharedDatabase()
  sql = postgres(db.url, { max: 1, onnotice: () => undefined })
  onFileEnd(() => sql.end())
  keeper = await openSession(db)
  left = await openSession(db)
  right = await openSession(db)
  for (const session of [left, right]) await session.sql`set statement_timeout = '20s'`
})

async function run(draws: Draw[]): Promise<void> {
  const world = await newWorld(db, sql)
  let before = await look(sql)
  for (const draw of draws) {
    world.count += 1
    const { check, refused } = await attempt(Object.assign(world, { before, draw }))
    const after = await look(sql)
    expect(after.broken, `after ${draw.verb}`).toEqual([])
    checkEnded(before, after, draw.verb)
    if (refused) expect(stateOf(after), 'a refused command changes nothing').toEqual(stateOf(before))
    if (admittingVerbs.includes(draw.verb)) checkCaps(before, after)
    if (check) check(after)
    before = after
  }
}

test('whatever is done in whatever order, every invariant holds after each command', {
  timeout: runs * 10_000,
}, async () => {
  await fc.assert(fc.asyncProperty(fc.array(draw, { minLength: 1, maxLength: 70, size: 'max' }), run), {
    numRuns: runs,
    seed,
    path,
    unbiased: true,
  })
})

/** What somebody holds while both commands begin, so that they meet there. */
const places = [
  'select from ops_missions for update',
  'select from ops_mission_steps for update',
  'select from ops.cap_stripes for update',
  'select from ops_mission_proposals for update',
  'select from ops.live_keys for update',
  'select from ops_agent_events for update',
  'select 1',
]

/** Edits by hand lock their step before its mission; one of two that meet so is told of a deadlock, and has done nothing. */
const handVerbs: Verb[] = [...operatorVerbs.filter((verb) => !verb.startsWith('retry')), 'deleteByHand']

/** Errors that say: try again. */
function isLostRace(error: unknown, verbs: Verb[]): boolean {
  if (!(error instanceof postgres.PostgresError)) return false
  const byHand = verbs.some((verb) => handVerbs.includes(verb))
  return error.code === '40001' || (error.code === '40P01' && byHand)
}

/** Until both sessions have ended their call or wait for a lock. */
async function untilSettled(calls: { session: Session; ended: boolean }[]): Promise<void> {
  for (;;) {
    const open = calls.filter((call) => !call.ended).map((call) => call.session.pid)
    const [row] = await sql<{ all: boolean }[]>`
      select coalesce(bool_and(cardinality(pg_blocking_pids(p)) > 0), true) as all from unnest(${open}::int[]) p`
    if (row?.all) return
  }
}

async function runPairs(pairs: [Draw, Draw, number][]): Promise<void> {
  const world = await newWorld(db, sql)
  let before = await look(sql)
  for (const [first, second, place] of pairs) {
    world.count += 1
    const verbs: Verb[] = [first.verb, second.verb]
    await keeper.begin()
    await keeper.sql.unsafe(places[place % places.length] ?? 'select 1')
    const calls = [first, second].map((draw, i) => {
      const session = i === 0 ? left : right
      const call = { session, ended: false, answer: Promise.resolve() }
      const mine: World = { ...world, count: world.count * 2 + i, before, draw, sql: session.sql }
      call.answer = attempt(mine)
        .then(
          () => undefined,
          (error: unknown) => {
            if (!isLostRace(error, verbs)) throw error
          },
        )
        .finally(() => {
          call.ended = true
        })
      call.answer.catch(() => undefined)
      return call
    })
    await untilSettled(calls)
    await keeper.rollback()
    for (const { answer } of calls) await answer
    await sql`select ops_recover_expired_leases(0)` // starts the missions whose first claim met them locked
    const after = await look(sql)
    expect(after.broken, `after ${verbs.join(' beside ')}`).toEqual([])
    checkEnded(before, after, ...verbs)
    if (!verbs.includes('caps') && !verbs.includes('control') && !verbs.includes('rollback'))
      checkCaps(before, after)
    before = after
  }
}

test('whatever meets whatever, every invariant holds after each pair', {
  timeout: pairRuns * 60_000,
}, async () => {
  const pair = fc.noShrink(fc.tuple(draw, draw, fc.nat(99)))
  await fc.assert(fc.asyncProperty(fc.array(pair, { minLength: 1, maxLength: 40, size: 'max' }), runPairs), {
    numRuns: pairRuns,
    seed,
    unbiased: true,
    endOnFailure: true,
  })
})
