/** The SQL of docs/coming-from-a-queue.md, block by block, as it stands there. */
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { onFileEnd } from '../support/fileEnd.js'
import { type Loop, startLoop } from './loop.js'

const rowsSchema = z.array(z.record(z.string(), z.unknown()))
/** A list of rows for each of several statements, or one. */
const answerSchema = z.union([z.array(rowsSchema), rowsSchema.transform((rows) => [rows])])

let loop: Loop
/** A transaction takes a connection of its own. */
let connection: postgres.Sql
let blocks: string[]

beforeAll(async () => {
  loop = await startLoop()
  connection = postgres(loop.db.url, { max: 1, onnotice: () => undefined })
  onFileEnd(() => connection.end())
  const page = await readFile(new URL('../../docs/coming-from-a-queue.md', import.meta.url), 'utf8')
  blocks = [...page.matchAll(/```sql\n(.*?)```/gs)].map(([, sql = '']) => sql)
})

/** What the last statement of a block that has this in it answers. */
async function run(part: string): Promise<Record<string, unknown>[]> {
  const answer = answerSchema.parse(await connection.unsafe(blockWith(part)))
  return answer.findLast((rows) => rows.length > 0) ?? []
}

function blockWith(part: string): string {
  return blocks.find((sql) => sql.includes(part)) ?? expect.fail(`no block has ${part}`)
}

const steps = () =>
  loop.rows(
    `select s.status, s.result from ops_mission_steps s join ops_missions m on m.id = s.mission_id where m.source = 'shop' order by s.created_at`,
  )

test('a job beside rows of one’s own is there with them, runs once, and is known by its key', async () => {
  const [answer] = await run('Ship order 1042')
  expect(answer).toMatchObject({ status: 'auto_approved', mission_id: expect.any(String) })
  await loop.beat()
  expect(await steps()).toEqual([{ status: 'succeeded', result: { echo: { order: 1042 } } }])
  expect(await loop.rows('select * from orders')).toEqual([{ id: 1042, state: 'paid' }])
})

test('and neither is there after a rollback', async () => {
  await loop.db.sql`delete from orders`
  await connection.unsafe(blockWith('Ship order 1042').replace(/commit;\s*$/, 'rollback;'))
  expect(await loop.rows('select * from orders')).toEqual([])
  expect(await steps()).toHaveLength(1)
})

test('a kind of one’s own waits for a person until policy names it; repeated calls answer as the first', async () => {
  const ofMail = `select code from ops_gate_proposal('{"title": "m", "risk_level": "low", "steps": [{"kind": "mail"}]}'::jsonb)`
  expect(await loop.rows(ofMail)).toEqual([{ code: 'pending_approval' }])
  await run('allowed_step_kinds')
  expect(await loop.rows(ofMail)).toEqual([{ code: 'auto_approved' }])
  const first = await run('ops_create_proposals')
  expect(first).toMatchObject([
    { ordinal: 1, status: 'auto_approved' },
    { ordinal: 2, status: 'auto_approved' },
  ])
  await run('ops_create_proposals')
  expect(await loop.rows(`select count(*)::int as n from ops_mission_steps where kind = 'mail'`)).toEqual([
    { n: 2 },
  ])
})

test('an event is accepted once', async () => {
  expect(await run('ops_emit_events')).toEqual([{ ordinal: 1, outcome: 'accepted' }])
  expect(await run('ops_emit_events')).toEqual([{ ordinal: 1, outcome: 'duplicate' }])
})

test('steps depend on each other and take results', async () => {
  await loop.db.sql`select ops_cancel_mission(mission_id, 'dana') from ops_mission_steps where kind = 'mail'`
  expect(await run('Close the day')).toMatchObject([{ status: 'auto_approved' }])
  await loop.beat()
  expect(await loop.rows(`select result from ops_mission_steps where key = 'report'`)).toEqual([
    { result: { echo: { text: 'All of 2026-01-31' } } },
  ])
})
