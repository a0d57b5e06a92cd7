import { expect, test } from 'vitest'
import { beat } from '../api/heartbeat.js'
import { createLog } from '../api/log.js'
import { testApi, testConfig } from '../api/testing.js'
import { shortId } from './shortId.js'
import { summarize } from './summary.js'
import { Tally } from './tally.js'

test('what it suggests to look at is somebody’s work, not a canary that was sent after it', async () => {
  const { db, engine } = await testApi()
  const proposed = await engine.createProposal({
    source: 'somebody',
    template: { title: 'Somebody’s work', risk_level: 'low', steps: [{ kind: 'noop' }] },
  })
  await db.sql`delete from ops.watch`
  await beat({ engine, config: testConfig, log: createLog('silent') })
  expect((await engine.listMissions({}, 1)).map(({ source }) => source)).toEqual(['canary'])

  const { next } = await summarize({
    engine,
    stack: {
      dataDir: '/nowhere',
      connection: {
        OPS_API_URL: 'http://127.0.0.1:1',
        SUPABASE_URL: 'http://127.0.0.1:2',
        DATABASE_URL: 'postgres://127.0.0.1:3/postgres',
      },
    },
    totals: new Tally().totals(),
    commandOptions: '',
  })
  expect(next.map(({ command }) => command)).toContain(
    `npx ops-loop trace ${shortId(proposed.mission_id ?? '')}`,
  )
})
