import { expect, test } from 'vitest'
import { contract, ISO, unique } from './support.js'

contract('services', (scene) => {
  test('are taken when they are due, recorded and listed', async () => {
    const { engine, policy } = scene()
    const name = unique('service')
    const config = { url: 'https://billing.example/health', breaker: { failures: 1, reset_seconds: 60 } }
    await policy('services', { services: { [name]: config } })

    expect(await engine.takeServiceChecks(100)).toEqual([{ name, config }])
    expect(await engine.takeServiceChecks()).toEqual([])
    const result = { name, ok: false, http_status: 503, latency_ms: 12, error: 'answered 503' }
    expect(await engine.recordServiceCheck(result)).toBe('open')
    expect(await engine.listServices()).toEqual([
      {
        name,
        url: config.url,
        state: 'open',
        healthy: false,
        failures: 1,
        http_status: 503,
        latency_ms: 12,
        error: 'answered 503',
        checked_at: expect.stringMatching(ISO),
        opened_at: expect.stringMatching(ISO),
        next_check_at: expect.stringMatching(ISO),
        held_steps: 0,
      },
    ])
    expect(await engine.recordServiceCheck({ name, ok: true })).toBe('closed')
    await expect(engine.recordServiceCheck({ name: unique('none'), ok: true })).rejects.toMatchObject({
      code: 'OPS_013',
    })
  })
})
