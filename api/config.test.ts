import { expect, test } from 'vitest'
import { apiConfigFromEnv } from './config.js'

test('an empty environment opens nothing and has the documented batch sizes', () => {
  expect(apiConfigFromEnv({})).toMatchObject({
    apiKeys: [],
    cronSecret: undefined,
    webhookSecrets: { github: [] },
    eventBatchSize: 50,
    reactionBatchSize: 50,
  })
})

test('empty and blank variables count as not set', () => {
  const config = apiConfigFromEnv({ OPS_API_KEY: '', OPS_API_KEY_PREVIOUS: '  ', CRON_SECRET: '\n' })
  expect(config).toMatchObject({ apiKeys: [], cronSecret: undefined })
})

test('two keys are valid while they rotate, and the newline of a pasted one is left out', () => {
  const config = apiConfigFromEnv({
    OPS_API_KEY: 'new\n',
    OPS_API_KEY_PREVIOUS: 'old',
    GITHUB_WEBHOOK_SECRET: 's p',
  })
  expect(config.apiKeys).toEqual(['new', 'old'])
  expect(config.webhookSecrets.github).toEqual(['s p'])
})

test.each([
  ['OPS_EVENT_BATCH_SIZE', '0'],
  ['OPS_EVENT_BATCH_SIZE', 'many'],
  ['OPS_REACTION_BATCH_SIZE', '1001'],
  ['OPS_API_KEY', 'two words'],
  ['CRON_SECRET', 'schlüssel'],
])('%s=%s is refused by its name, without repeating the value', (name, value) => {
  const failure = attempt(() => apiConfigFromEnv({ [name]: value }))
  expect(failure).toMatchObject({ code: 'OPS_011' })
  expect(String(failure)).toContain(name)
  expect(String(failure)).not.toContain(value === '0' ? '=0' : value)
})

function attempt(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return error
  }
}
