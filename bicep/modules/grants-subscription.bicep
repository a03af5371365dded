metadata name = 'Grants on the subscription'
metadata description = 'Reading, and creating groups where that is wanted: the roles that hold everywhere.'

targetScope = 'subscription'

import { grant, identity, ids } from '../types.bicep'

@description('Required. Role name to the id of its definition.')
param definitionIds ids

@description('Required. People, groups and identities that are granted roles.')
param grants grant[]

@description('Required. The identities that were made, with their roles.')
param identities identity[]

// The operator reads the estate too: it looks before each step. Somebody who is both is granted it once.
var readers = union(
  map(filter(grants, one => one.role == 'planner' || one.role == 'operator'), one => {
    principalId: one.principalId
    principalType: one.principalType
  }),
  []
)
var creators = filter(grants, one => one.role == 'group-creator' && contains(definitionIds, one.role))

resource reading 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in readers: {
    name: guid(subscription().id, one.principalId, 'planner')
    properties: {
      roleDefinitionId: definitionIds.planner
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource creating 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in creators: {
    name: guid(subscription().id, one.principalId, one.role)
    properties: {
      roleDefinitionId: definitionIds[one.role]
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource made 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in identities: if (one.role == 'planner' || one.role == 'operator') {
    name: guid(subscription().id, one.principalId, 'planner')
    properties: {
      roleDefinitionId: definitionIds.planner
      principalId: one.principalId
      principalType: 'ServicePrincipal'
    }
  }
]
