import postgres from 'postgres'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { type Relay, startRelay } from '../test/support/relay.js'
import { subscribe } from './subscription.js'
import type { Subscription } from './types/engine.js'

const database = await freshDatabase()
let relay: Relay
let subscription: Subscription | undefined

beforeEach(async () => {
  relay = await startRelay(urlFor(database, 'ops_worker'))
})
afterEach(() => subscription?.stop())

const connect = () => postgres(relay.url, { max: 1, idle_timeout: 1, onnotice: () => {} })

/** Listens through the relay; echoes are sent past it. */
async function listen(
  notify = (channel: string): Promise<unknown> => database.sql.notify(channel, ''),
  open = connect,
) {
  const heard = vi.fn()
  const missed = vi.fn()
  subscription = await subscribe({
    channels: ['ops_test'],
    onNotify: heard,
    onGap: missed,
    open,
    notify,
    echoEveryMs: 50,
    echoWithinMs: 500,
    listenWithinMs: 2000,
  })
  return { heard, missed }
}

const send = () => database.sql.notify('ops_test', '')
const soon = (check: () => void) => vi.waitFor(check, 10_000)

describe('a subscription', () => {
  test('whose connection falls silent listens on another one, and says that something may have been missed', async () => {
    const { heard, missed } = await listen()
    relay.silence()
    await send()
    await soon(() => expect(missed).toHaveBeenCalledTimes(1))
    await send()
    await soon(() => expect(heard).toHaveBeenCalledTimes(1))
  })

  test('whose connection breaks while the database takes no new ones listens again afterwards', async () => {
    const { heard, missed } = await listen()
    relay.accepts = false
    relay.cut()
    await soon(() => expect(listeners()).resolves.toBe(0))
    relay.accepts = true
    await soon(() => expect(missed).toHaveBeenCalled())
    await send()
    await soon(() => expect(heard).toHaveBeenCalled())
  })

  test('is refused where notifications do not come through', async () => {
    await expect(listen(async () => {})).rejects.toMatchObject({
      code: 'OPS_001',
      hint: expect.stringContaining('pgbouncer=true'),
    })
    await soon(() => expect(listeners()).resolves.toBe(0))
  })

  test('is refused when its connection falls silent before it listens', async () => {
    const silent = () => Object.assign(connect(), { listen: () => new Promise<never>(() => {}) })
    await expect(listen(undefined, silent)).rejects.toMatchObject({ code: 'OPS_001' })
  })

  test('keeps its connection while echoes cannot be sent', async () => {
    let isAway = false
    const notify = vi.fn((channel: string): Promise<unknown> => {
      return isAway ? Promise.reject(new Error('away')) : database.sql.notify(channel, '')
    })
    const { heard } = await listen(notify)
    isAway = true
    notify.mockClear()
    await soon(() => expect(notify.mock.calls.length).toBeGreaterThan(3))
    await send()
    await soon(() => expect(heard).toHaveBeenCalledTimes(1))
  })

  test('leaves no connection behind when it is stopped', async () => {
    await listen()
    expect(await listeners()).toBe(1)
    await subscription?.stop()
    await soon(() => expect(listeners()).resolves.toBe(0))
  })
})

async function listeners(): Promise<number> {
  const rows = await database.sql`
    select from pg_stat_activity where datname = current_database() and usename = 'test_worker'`
  return rows.length
}
