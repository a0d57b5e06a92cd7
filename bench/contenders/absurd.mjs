// absurd: its SDK is on npm, its SQL is not, so there is nothing to run it on.
import 'absurd-sdk'

export default () => ({
  async prepare() {
    throw new Error('its schema (absurd.sql) is not part of absurd-sdk, nor of any package on npm')
  },
})
