metadata name = 'Grants on a resource group'
metadata description = 'A role on a resource group, where drkit creates resources or where hosts are.'

import { grant, identity, ids } from '../types.bicep'

@description('Required. The role of the principals that get a grant here.')
param role string

@description('Required. The name of the role definition to grant. The operator has one for each kind of resource group.')
param definition string

@description('Required. The id of each role definition, by the name of the role.')
param definitionIds ids

@description('Required. The people, groups and identities to grant roles to.')
param grants grant[]

@description('Required. The identities that were created, with their roles.')
param identities identity[]

@description('Required. Object ids of the people and groups that use what is moved here. They get the role Reader.')
param users string[]

var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'acdd72a7-3385-48ef-bd42-f606fba81ae7')
var given = filter(grants, one => one.role == role)

resource assigned 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in given: {
    name: guid(resourceGroup().id, one.principalId, definition)
    properties: {
      roleDefinitionId: definitionIds[definition]
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource made 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in identities: if (one.role == role) {
    name: guid(resourceGroup().id, one.principalId, definition)
    properties: {
      roleDefinitionId: definitionIds[definition]
      principalId: one.principalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource reading 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for user in users: {
    name: guid(resourceGroup().id, user, 'reader')
    properties: {
      roleDefinitionId: reader
      principalId: user
    }
  }
]
