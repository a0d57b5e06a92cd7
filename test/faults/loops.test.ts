/** Events that feed themselves: directly, in pairs, and past the engine's back. */
import { expect, test } from 'vitest'
import { apiConfigFromEnv } from '../../api/config.js'
import { serveApi } from '../../api/server.js'
import { appOver, KEY, testConfig } from '../../api/testing.js'
import { connectEngine } from '../../engine/index.js'
import { setPolicy } from '../../supabase/tests/world.js'
import { onFileEnd } from '../support/fileEnd.js'
import { Site } from './support/site.js'
import { until } from './support/until.js'

const MAX_DEPTH = 4
const DAILY_LIMIT = 25

const answer = (id: string, event_type: string, when: string | undefined, step: object) => ({
  id,
  event_type,
  ...(when === undefined ? {} : { when }),
  template: { title: id, risk_level: 'low', steps: [step] },
})

test('loops of events end: at the depth that policy allows, or, where nothing tells that they are one, at a cap', {
  timeout: 240_000,
}, async () => {
  const site = await Site.open()
  await setPolicy(site.sql, 'control', { max_depth: MAX_DEPTH, max_missions_per_root_event: 50 })
  await setPolicy(site.sql, 'proposal_caps', { daily_limit: DAILY_LIMIT })
  await setPolicy(site.sql, 'reaction_matrix', {
    patterns: [
      answer('begin', 'loop:direct', undefined, { kind: 'ledger' }),
      answer('direct', 'mission:succeeded', "event.data.title in ['begin', 'direct']", { kind: 'ledger' }),
      answer('ping', 'loop:ping', undefined, { kind: 'ledger', params: { emits: 'loop:pong' } }),
      answer('pong', 'loop:pong', undefined, { kind: 'ledger', params: { emits: 'loop:ping' } }),
      answer('post', 'loop:post', undefined, { kind: 'poster', params: { type: 'loop:post' } }),
    ],
  })
  const engine = connectEngine({ databaseUrl: site.database.urlFor('service_role') })
  onFileEnd(() => engine.close())
  const api = await serveApi({
    app: appOver(engine, { ...testConfig, ...apiConfigFromEnv({}), apiKeys: [KEY] }),
    port: 0,
  })
  onFileEnd(() => api.close())
  await site.worker({
    env: { DATABASE_URL: site.database.urlFor('ops_worker'), FAULTS_API_URL: api.url, FAULTS_API_KEY: KEY },
  })

  await engine.emitEvents([{ type: 'loop:direct' }, { type: 'loop:ping' }])
  site.beating(50)
  const quiet = () =>
    until(
      'the loop is quiet',
      async () => {
        const { queues } = await engine.health()
        return queues.events + queues.reactions + queues.steps + queues.steps_running === 0
      },
      { withinMs: 120_000 },
    )
  await quiet()
  const missions = async (titles: string[]) => {
    const [row] = await site.sql<{ n: number }[]>`
      select count(*)::int as n from ops_missions where title = any (${titles})`
    return row?.n
  }
  const depths = await site.sql<
    { code: string }[]
  >`select distinct code from ops_mission_proposals where status = 'rejected'`
  expect(depths.map(({ code }) => code)).not.toContain('cap_daily')
  expect(await missions(['begin', 'direct'])).toBe(MAX_DEPTH)
  expect(await missions(['ping', 'pong'])).toBe(MAX_DEPTH)

  // What an executor reports from outside begins a chain of its own each time.
  await engine.emitEvents([{ type: 'loop:post' }])
  await until('a cap ends it', async () => {
    const [row] = await site.sql`select from ops_mission_proposals where code = 'cap_daily'`
    return row !== undefined
  })
  await quiet()
  const [all] = await site.sql<{ n: number }[]>`select count(*)::int as n from ops_missions`
  expect(all?.n).toBe(DAILY_LIMIT)
  await site.expectSound()
})
