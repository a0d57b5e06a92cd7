import { expect, test } from 'vitest'
import { keyring } from './auth.js'

const identify = keyring({ apiKeys: ['current-key', 'previous+/key=='], cronSecret: 'cron-secret' })

test('each configured key is known by its bearer token', () => {
  expect(identify('Bearer current-key')).toBe('api')
  expect(identify('Bearer previous+/key==')).toBe('api')
  expect(identify('Bearer cron-secret')).toBe('cron')
  expect(identify('bearer current-key')).toBe('api')
})

test.each([
  ['nothing', undefined],
  ['an empty header', ''],
  ['the scheme alone', 'Bearer'],
  ['an empty token', 'Bearer '],
  ['another scheme', 'Basic current-key'],
  ['no scheme', 'current-key'],
  ['a beginning of the key', 'Bearer current-ke'],
  ['more than the key', 'Bearer current-key1'],
  ['another case', 'Bearer CURRENT-KEY'],
  ['two headers joined', 'Bearer current-key, Bearer current-key'],
  ['two tokens', 'Bearer current-key current-key'],
  ['control characters', 'Bearer current-key\u0000'],
  ['other alphabets', 'Bearer ключ'],
  ['a very long token', `Bearer ${'x'.repeat(1_000_000)}`],
])('%s is nobody', (_, header) => {
  expect(identify(header)).toBeUndefined()
})

test('an empty configuration knows nobody, not even the bearer of an empty key', () => {
  for (const config of [{ apiKeys: [] }, { apiKeys: [''], cronSecret: '' }]) {
    expect(keyring(config)('Bearer ')).toBeUndefined()
    expect(keyring(config)('Bearer undefined')).toBeUndefined()
    expect(keyring(config)(undefined)).toBeUndefined()
  }
})
