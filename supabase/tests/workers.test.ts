/** Workers make themselves known: what one says of itself is what everybody is told of it, so nonsense is refused. */
import { describe, expect, test } from 'vitest'
import { freshDatabase } from '../../test/support/database.js'
import { registerWorker } from './work.js'

const { sql } = await freshDatabase()

/** SQL for each argument of ops_register_worker. */
const ARGUMENTS = {
  p_name: `'w'`,
  p_version: `'1'`,
  p_executors: `array['noop']`,
  p_concurrency: '1',
  p_schema_version: '99',
  p_settings: `'{"max_retries": 0, "lease_minutes": 0.5}'`,
}

const register = (changes: Partial<typeof ARGUMENTS> = {}) =>
  sql.unsafe(`select ops_register_worker(${Object.values({ ...ARGUMENTS, ...changes }).join(', ')})`)

describe('a worker that registers', () => {
  test.each([
    ['p_name', `''`],
    ['p_name', 'null'],
    ['p_name', `repeat('n', 201)`],
    ['p_version', 'null'],
    ['p_version', `''`],
    ['p_executors', `'{}'`],
    ['p_executors', 'null'],
    ['p_executors', `array['noop', null]`],
    ['p_executors', `array['noop', '']`],
    ['p_executors', `array[repeat('x', 101)]`],
    ['p_executors', `array_fill('noop'::text, array[201])`],
    ['p_concurrency', '0'],
    ['p_concurrency', 'null'],
    ['p_concurrency', '1001'],
    ['p_settings', `'[]'`],
    ['p_settings.max_retries', `'{"max_retries": "many"}'`],
    ['p_settings.max_retries', `'{"max_retries": -1}'`],
    ['p_settings.lease_minutes', `'{"lease_minutes": 1441}'`],
  ])('is refused by the name of %s when it is %s', async (path, value) => {
    await expect(register({ [path.split('.')[0] ?? '']: value })).rejects.toMatchObject({
      code: 'OP011',
      detail: JSON.stringify({ path }).replace(':', ': '),
    })
  })

  test('may leave out or null its settings', async () => {
    for (const p_settings of ['null', `'{}'`, `'{"max_retries": null}'`]) await register({ p_settings })
    await register()
  })
})

describe('a sign of life', () => {
  test.each([`'[]'`, `'"well"'`, `'{"memory_percent": "half"}'`])(
    'is refused when how it is, is told as %s',
    async (health) => {
      const worker = await registerWorker(sql)
      const beat = sql.unsafe(`select ops_worker_heartbeat('${worker}', false, ${health})`)
      await expect(beat).rejects.toMatchObject({ code: 'OP011', detail: '{"path": "p_health"}' })
    },
  )

  test('may say nothing of that, or more than is known', async () => {
    const worker = await registerWorker(sql)
    for (const health of [
      'null',
      `'{}'`,
      `'{"memory_percent": null}'`,
      `'{"memory_percent": 12.5, "disk": 3}'`,
    ])
      await sql.unsafe(`select ops_worker_heartbeat('${worker}', false, ${health})`)
  })
})
