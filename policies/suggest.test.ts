import { describe, expect, it } from 'vitest'
import { nearest, suggestion } from './suggest.js'

const known = ['cooldown_minutes', 'cooldown_key', 'event_type', 'tags', 'id']

describe('nearest', () => {
  it.each([
    ['colldown_minutes', 'cooldown_minutes'],
    ['cooldown_mintues', 'cooldown_minutes'],
    ['Cooldown_Key', 'cooldown_key'],
    ['eventtype', 'event_type'],
    ['tag', 'tags'],
    ['tasg', 'tags'],
    ['di', 'id'],
  ])('takes %s for %s', (typed, meant) => expect(nearest(typed, known)).toBe(meant))

  it.each(['probability', 'x', '', 'a'.repeat(100_000)])(
    'takes nothing for a word that is not near',
    (typed) => expect(nearest(typed, known)).toBeUndefined(),
  )
})

describe('suggestion', () => {
  it('asks', () => expect(suggestion('tag', known)).toBe('; did you mean "tags"?'))
  it('lists what is known when nothing is near', () =>
    expect(suggestion('zzz', ['b', 'a'])).toBe('; known names: a, b'))
  it('says nothing when nothing is known', () => expect(suggestion('zzz', [])).toBe(''))
})
