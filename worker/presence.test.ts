import { expect, it } from 'vitest'
import { OpsError } from '../engine/index.js'
import { Presence } from './presence.js'

const settings = { schema_version: 1, worker_policy: {}, agent_roles: {}, control: {} }
const takes = { executors: ['noop'], channel: 'ops_hand_00' }
const log = { debug() {}, info() {}, warn() {}, error() {} }

it('a worker whose two beats hear that it is forgotten registers again once', async () => {
  let registered = 0
  let letGo = () => {}
  const bothAsked = new Promise<void>((resolve) => {
    letGo = resolve
  })
  let asked = 0
  const presence = await Presence.register(
    {
      registerWorker: async () => ({ ...settings, worker_id: `worker ${++registered}` }),
      async workerHeartbeat(worker_id) {
        if (worker_id !== 'worker 1') return { ...settings, worker_id }
        if (++asked === 2) letGo()
        await bothAsked
        throw new OpsError('OPS_013', 'there is no such worker')
      },
    },
    { name: 'w', version: '0', executors: ['noop'], concurrency: 1 },
    log,
  )
  await Promise.all([presence.fallAsleep(takes), presence.fallAsleep(takes)])
  expect(presence.workerId).toBe('worker 2')
  expect(registered).toBe(2)
})
