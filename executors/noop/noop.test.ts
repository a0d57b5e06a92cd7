import { describe, expect, it } from 'vitest'
import { runExecutor } from '../testing.js'
import noop from './index.js'

describe('noop', () => {
  it('echoes its params', async () => {
    const { outcome } = await runExecutor(noop, { anything: ['goes'] })
    expect(outcome).toMatchObject({ outcome: 'done', result: { echo: { anything: ['goes'] } } })
  })

  it('fails for good when asked to', async () => {
    const { outcome } = await runExecutor(noop, { fail: 'because' })
    expect(outcome).toMatchObject({ outcome: 'fail', error: 'because' })
  })

  it('fails as many attempts as asked, then succeeds', async () => {
    const outcomes = []
    for (const attempt of [1, 2, 3]) {
      outcomes.push((await runExecutor(noop, { flaky_attempts: 2 }, { attempt })).outcome.outcome)
    }
    expect(outcomes).toEqual(['retry', 'retry', 'done'])
  })

  it('stops sleeping when its signal is aborted', async () => {
    const signal = AbortSignal.abort()
    await expect(runExecutor(noop, { sleep_ms: 600_000 }, { signal })).rejects.toThrow('aborted')
  })

  it('refuses to sleep for longer than ten minutes', async () => {
    await expect(runExecutor(noop, { sleep_ms: 600_001 })).rejects.toThrow('params.sleep_ms')
  })
})
