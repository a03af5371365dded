metadata name = 'Grants on the store'
metadata description = 'The roles on the containers of the store.'

import { dataDefinition, grant, identity } from '../types.bicep'

@description('Required. The name of the storage account.')
param accountName string

@description('Required. The role definitions for single containers.')
param dataDefinitionIds dataDefinition[]

@description('Required. The people, groups and identities to grant roles to.')
param grants grant[]

@description('Required. The identities that were created, with their roles.')
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
