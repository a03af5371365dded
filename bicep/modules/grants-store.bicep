metadata name = 'Grants on the store'
metadata description = 'Who may do what to the blobs of each container.'

import { dataDefinition, grant, identity } from '../types.bicep'

@description('Required. The name of the account.')
param accountName string

@description('Required. The role definitions that hold on a container.')
param dataDefinitionIds dataDefinition[]

@description('Required. People, groups and identities that are granted roles.')
param grants grant[]

@description('Required. The identities that were made, with their roles.')
param identities identity[]

module given 'grants-container.bicep' = [
  for (one, index) in dataDefinitionIds: {
    name: 'drkit-${one.role}-${one.container}-${index}'
    params: {
      accountName: accountName
      definition: one
      grants: grants
      identities: identities
    }
  }
]
